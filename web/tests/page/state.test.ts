/** Rows and the queue: what becomes of cases, with a client of our own. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { Queue } from "../../src/page/queue.ts";
import { Rows, type Row } from "../../src/page/state.ts";
import { Cancelled, Refusal } from "../../src/worker/client.ts";
import type { Done } from "../../src/worker/messages.ts";

const file = (name: string, text = "x"): File => new File([text], name, { lastModified: 1 });
const found = (...names: string[]): { file: File; folder: string }[] =>
  names.map((name) => ({ file: file(name), folder: "" }));
const kinds = (rows: Rows): Record<string, string> =>
  Object.fromEntries(rows.all.map((row) => [row.name, row.status.kind]));
const settled = (): Promise<void> => new Promise((done) => setTimeout(done, 5));

class Worker {
  readonly asked: string[] = [];
  #fail: ((error: Error) => void) | null = null;

  constructor(private readonly behave: (name: string) => "done" | "refuse" | "hang" = () => "done") {}

  segment(name: string): Promise<Done> {
    this.asked.push(name);
    const how = this.behave(name);
    if (how === "refuse") return Promise.reject(new Refusal(`${name} is damaged`, "copy it again"));
    if (how === "hang") return new Promise((_, fail) => (this.#fail = fail));
    return Promise.resolve({
      kind: "done",
      id: 0,
      file: new Uint8Array(),
      shape: [1, 1, 1],
      spacing_mm: [1, 1, 1],
      affine: [],
      volumes: [],
      seconds: 1,
    });
  }

  cancel(): void {
    this.#fail?.(new Cancelled());
  }
}

test("a scan that comes later completes its case", () => {
  const rows = new Rows(["FLAIR", "T1"]);
  rows.add(found("a_0000.nii", "b_0000.nii", "b_0001.nii"));
  assert.deepEqual(kinds(rows), { a: "incomplete", b: "waiting" });
  rows.add(found("a_0001.nii"));
  assert.deepEqual(kinds(rows), { b: "waiting", a: "waiting" });
  assert.deepEqual(Object.keys(rows.all[1].files), ["FLAIR", "T1"]);
});

test("a person says which scans files are; they find their case by the likest name", () => {
  const rows = new Rows(["FLAIR", "T1"]);
  rows.add(found("p1 flair ax.nii", "p2 flair ax.nii", "p2 t1 sag.nii", "p1 t1 sag.nii"));
  assert.deepEqual(new Set(Object.values(kinds(rows))), new Set(["unsure"]));
  for (const name of ["p1 flair ax.nii", "p2 flair ax.nii"])
    rows.tell(
      rows.all.find((row) => row.name === name)!,
      "FLAIR",
    );
  for (const name of ["p2 t1 sag.nii", "p1 t1 sag.nii"])
    rows.tell(
      rows.all.find((row) => row.name === name)!,
      "T1",
    );
  assert.deepEqual(
    rows.all.map((row) => [
      row.name,
      row.status.kind,
      ...Object.entries(row.files).map(([m, one]) => `${m} ${one.name}`),
    ]),
    [
      ["p2 flair ax", "waiting", "FLAIR p2 flair ax.nii", "T1 p2 t1 sag.nii"],
      ["p1 flair ax", "waiting", "FLAIR p1 flair ax.nii", "T1 p1 t1 sag.nii"],
    ],
  );
});

test("a file that is here already is passed over; another of its name is a case of its own", () => {
  const rows = new Rows(["MR"]);
  rows.add(found("a.nii"));
  rows.add(found("a.nii"));
  rows.add([{ file: file("a.nii", "longer"), folder: "d/p2" }]);
  assert.deepEqual(kinds(rows), { a: "waiting", p2_a: "waiting" });
});

test("nothing is segmented before the model is judged, then all in their order", async () => {
  const [rows, worker] = [new Rows(["MR"]), new Worker()];
  const queue = new Queue(rows, worker);
  rows.add(found("a.nii", "b.nii"));
  await settled();
  assert.deepEqual(worker.asked, []);
  queue.allow();
  await settled();
  rows.add(found("c.nii"));
  await settled();
  assert.deepEqual(worker.asked, ["a", "b", "c"]);
  assert.deepEqual(kinds(rows), { a: "done", b: "done", c: "done" });
});

test("a damaged scan has its line, the others are done", async () => {
  const [rows, worker] = [new Rows(["MR"]), new Worker((name) => (name === "b" ? "refuse" : "done"))];
  new Queue(rows, worker).allow();
  rows.add(found("a.nii", "b.nii", "c.nii", "notes.txt"));
  await settled();
  assert.deepEqual(kinds(rows), { a: "done", b: "refused", c: "done", "notes.txt": "refused" });
  const [told] = rows.of("refused");
  assert.equal(
    rows.of("refused").some((row) => row.status.why === "b is damaged: copy it again"),
    true,
    told.name,
  );
});

test("to cancel ends the running case alone; again segments it; cancel all takes what waits too", async () => {
  const [rows, worker] = [new Rows(["MR"]), new Worker((name) => (name === "a" ? "hang" : "done"))];
  const queue = new Queue(rows, worker);
  queue.allow();
  rows.add(found("a.nii", "b.nii"));
  await settled();
  const row = (name: string): Row => rows.all.find((one) => one.name === name)!;
  assert.deepEqual(kinds(rows), { a: "running", b: "waiting" });
  queue.cancel(row("a"));
  await settled();
  assert.deepEqual(kinds(rows), { a: "cancelled", b: "done" });
  queue.again(row("a"));
  rows.add(found("c.nii"));
  await settled();
  assert.deepEqual(kinds(rows), { a: "running", b: "done", c: "waiting" });
  queue.cancelAll();
  await settled();
  assert.deepEqual(kinds(rows), { a: "cancelled", b: "done", c: "cancelled" });
});
