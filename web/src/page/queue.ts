/** Segments what waits, one case after another, for as long as it may. */

import { Cancelled, type Client } from "../worker/client.ts";
import type { Row, Rows } from "./state.ts";

export class Queue {
  #allowed = false;
  #running: Row | null = null;

  constructor(
    private readonly rows: Rows,
    private readonly client: Pick<Client, "segment" | "cancel">,
  ) {
    rows.listen((what, row) => {
      if (what !== "removed" && row.status.kind === "waiting") void this.#go();
    });
  }

  /** The model is there and is what it should be: from now on cases are segmented. */
  allow(): void {
    this.#allowed = true;
    void this.#go();
  }

  /** Ends a case that runs, or takes one that waits out of the queue. */
  cancel(row: Row): void {
    if (row === this.#running) this.client.cancel();
    else if (row.status.kind === "waiting") this.rows.set(row, { kind: "cancelled" });
  }

  cancelAll(): void {
    this.rows.of("waiting").forEach((row) => this.cancel(row));
    if (this.#running) this.cancel(this.#running);
  }

  again(row: Row): void {
    if (row.status.kind === "cancelled") this.rows.set(row, { kind: "waiting" });
  }

  async #go(): Promise<void> {
    if (!this.#allowed || this.#running) return;
    const row = this.rows.of("waiting").at(0);
    if (!row) return;
    this.#running = row;
    await this.#segment(row);
    this.#running = null;
    await this.#go();
  }

  async #segment(row: Row): Promise<void> {
    this.rows.set(row, { kind: "running", told: null });
    try {
      const done = await this.client.segment(row.name, row.files, (told) =>
        this.rows.set(row, { kind: "running", told }),
      );
      this.rows.set(row, { kind: "done", done, saved: false });
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      this.rows.set(row, error instanceof Cancelled ? { kind: "cancelled" } : { kind: "refused", why });
    }
  }
}
