/** What the page knows of the scans it was given: one row a case, in the order they came, each with a status.
 *
 *     incomplete -> waiting -> running -> done | refused | cancelled;   cancelled -> waiting
 *
 * Rows say when they change; what draws them and what segments them only listens.
 */

import type { Done, Progress } from "../worker/messages.ts";
import { grouped, type Found } from "./cases.ts";
import { distinct } from "./names.ts";

export type Status =
  | { kind: "incomplete"; missing: string[] }
  | { kind: "waiting" }
  | { kind: "running"; told: Progress | null }
  | { kind: "done"; done: Done; saved: boolean }
  | { kind: "refused"; why: string }
  | { kind: "cancelled" };

export interface Row {
  readonly id: number;
  /** Of the case, and of its label map. Of what is refused by its name: the file's. */
  readonly name: string;
  readonly folder: string;
  /** By modality. */
  readonly files: Record<string, File>;
  status: Status;
}

/** `added` and `removed` rows, or `changed`: its status is another. */
export type Listener = (what: "added" | "removed" | "changed", row: Row) => void;

export class Rows {
  readonly all: Row[] = [];
  readonly #listeners: Listener[] = [];
  #made = 0;

  constructor(readonly modalities: readonly string[]) {}

  listen(listener: Listener): void {
    this.#listeners.push(listener);
  }

  /** Makes rows of files. Those that complete a case join it; a file that is here already is passed over. */
  add(found: readonly Found[]): Row[] {
    const here = this.all.flatMap((row) => Object.values(row.files));
    const open = this.all.filter((row) => row.status.kind === "incomplete");
    const pool = open.flatMap((row) => Object.values(row.files).map((file) => ({ file, folder: row.folder })));
    const fresh = found.filter(({ file }) => !here.some((other) => same(file, other)));
    if (fresh.length === 0) return [];
    const { cases, refused } = grouped([...pool, ...fresh], this.modalities);
    open.forEach((row) => this.remove(row));
    const made = cases.map(({ name, folder, files, missing }) =>
      this.#insert({
        name: distinct(name, folder, this.#named()),
        folder,
        files,
        status: missing.length > 0 ? { kind: "incomplete", missing } : { kind: "waiting" },
      }),
    );
    const not = refused.map(({ file, why }) =>
      this.#insert({ name: file.name, folder: "", files: { "": file }, status: { kind: "refused", why } }),
    );
    return [...made, ...not];
  }

  set(row: Row, status: Status): void {
    row.status = status;
    this.#tell("changed", row);
  }

  remove(row: Row): void {
    const at = this.all.indexOf(row);
    if (at < 0) return;
    this.all.splice(at, 1);
    this.#tell("removed", row);
  }

  of<K extends Status["kind"]>(kind: K): (Row & { status: Extract<Status, { kind: K }> })[] {
    return this.all.filter((row): row is Row & { status: Extract<Status, { kind: K }> } => row.status.kind === kind);
  }

  #insert(told: Omit<Row, "id">): Row {
    this.#made += 1;
    const row = { id: this.#made, ...told };
    this.all.push(row);
    this.#tell("added", row);
    return row;
  }

  #named(): string[] {
    return this.all.map((row) => row.name);
  }

  #tell(what: Parameters<Listener>[0], row: Row): void {
    for (const listener of this.#listeners) listener(what, row);
  }
}

function same(one: File, other: File): boolean {
  const path = (file: File): string => file.webkitRelativePath || file.name;
  return path(one) === path(other) && one.size === other.size && one.lastModified === other.lastModified;
}
