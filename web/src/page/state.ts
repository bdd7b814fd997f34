/** What the page knows of the scans it was given: one row a case, in the order they came, each with a status.
 *
 *     unsure -> incomplete -> waiting -> running -> done | refused | cancelled;   cancelled -> waiting
 *
 * Rows say when they change; what draws them and what segments them only listens.
 */

import type { Done, Progress } from "../worker/messages.ts";
import { grouped, likest, ordered, type Case, type Found, type Refused } from "./cases.ts";
import { distinct, stem } from "./names.ts";

export type Status =
  | { kind: "unsure" }
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
  readonly #told = new Set<number>(); // rows of which a person said what belongs to them
  #made = 0;

  constructor(readonly modalities: readonly string[]) {}

  listen(listener: Listener): void {
    this.#listeners.push(listener);
  }

  /** Makes rows of files. Those that complete a case join it; a file that is here already is passed over. */
  add(found: readonly Found[]): void {
    const here = this.all.flatMap((row) => Object.values(row.files));
    const fresh = found.filter(({ file }) => !here.some((other) => same(file, other)));
    if (fresh.length === 0) return;
    const open = this.of("incomplete").filter((row) => !this.#told.has(row.id));
    const pool = open.flatMap((row) =>
      Object.values(row.files).map((file) => ({ file, folder: row.folder })),
    );
    open.forEach((row) => this.remove(row));
    const { cases, unsure, refused } = grouped([...pool, ...fresh], this.modalities);
    cases.forEach((one) => this.#insertCase(one));
    for (const { file, folder } of unsure) {
      this.#insert({ name: file.name, folder, files: { "": file }, status: { kind: "unsure" } });
    }
    refused.forEach((one) => this.#insertRefused(one));
  }

  /** A person says which scan the file of a row is: it joins the case that lacks it and is called most like it. */
  tell(row: Row, modality: string): void {
    if (row.status.kind !== "unsure") return;
    const file = row.files[""];
    const name = stem(file.name);
    const lacking = this.of("incomplete").filter(
      (one) => one.folder === row.folder && one.status.missing.includes(modality),
    );
    const other = likest(name, lacking);
    this.remove(row);
    if (other) this.remove(other);
    const files = { ...other?.files, [modality]: file };
    const one = ordered(
      { name: other?.name ?? name, folder: row.folder, files, missing: [] },
      this.modalities,
    );
    this.#told.add(this.#insertCase(one).id);
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
    return this.all.filter(
      (row): row is Row & { status: Extract<Status, { kind: K }> } => row.status.kind === kind,
    );
  }

  #insertCase({ name, folder, files, missing }: Case): Row {
    return this.#insert({
      name: distinct(
        name,
        folder,
        this.all.map((row) => row.name),
      ),
      folder,
      files,
      status: missing.length > 0 ? { kind: "incomplete", missing } : { kind: "waiting" },
    });
  }

  #insertRefused({ file, why }: Refused): Row {
    return this.#insert({
      name: file.name,
      folder: "",
      files: { "": file },
      status: { kind: "refused", why },
    });
  }

  #insert(told: Omit<Row, "id">): Row {
    this.#made += 1;
    const row = { id: this.#made, ...told };
    this.all.push(row);
    this.#tell("added", row);
    return row;
  }

  #tell(what: Parameters<Listener>[0], row: Row): void {
    for (const listener of this.#listeners) listener(what, row);
  }
}

function same(one: File, other: File): boolean {
  const path = (file: File): string => file.webkitRelativePath || file.name;
  return path(one) === path(other) && one.size === other.size && one.lastModified === other.lastModified;
}
