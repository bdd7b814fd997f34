/** What the page saves: read back with readers of others. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { unzipSync } from "fflate";

import { csv } from "../../src/page/csv.ts";
import { crc32, zip } from "../../src/page/zip.ts";

const LABELS = [
  { value: 0, name: "background", colour: [0, 0, 0] },
  { value: 1, name: "left, upper", colour: [1, 2, 3] },
  { value: 3, name: "right", colour: [1, 2, 3] },
] as const satisfies readonly { value: number; name: string; colour: readonly number[] }[];
const labels = LABELS.map(({ value, name }) => ({
  value,
  name,
  colour: [0, 0, 0] as [number, number, number],
}));

test("a zip is read by another's reader, bytes and names whole", async () => {
  const bytes = Uint8Array.from({ length: 70_000 }, (_, at) => (at * 31) & 255);
  const members = [
    { name: "a.nii.gz", bytes },
    { name: "Übung 2.nii", bytes: new Uint8Array() },
  ];
  const read = unzipSync(
    new Uint8Array(await zip(members, new Date(2026, 10, 29, 12, 30, 10)).arrayBuffer()),
  );
  assert.deepEqual(Object.keys(read), ["a.nii.gz", "Übung 2.nii"]);
  assert.deepEqual(Buffer.from(read["a.nii.gz"]), Buffer.from(bytes));
});

test("CRC-32 of the check word", () => {
  assert.equal(crc32(new TextEncoder().encode("123456789")), 0xcbf43926);
});

test("a line a case, a column a structure, problems told", () => {
  const volumes = [
    { value: 1, name: "left, upper", voxels: 5, ml: 1.23456789 },
    { value: 3, name: "right", voxels: 0, ml: 0 },
  ];
  const text = csv(
    [
      { name: "a", volumes, seconds: 2.5, problem: "" },
      { name: "b", volumes: null, seconds: null, problem: 'b.nii: is "cut"' },
    ],
    labels,
    "abc",
  );
  assert.equal(
    text,
    'case,"left, upper [ml]",right [ml],seconds,model,problem\r\na,1.2346,0,2.5,abc,\r\nb,,,,abc,"b.nii: is ""cut"""\r\n',
  );
});

test("a case called like a formula is none in a spreadsheet", () => {
  const text = csv([{ name: "=HYPERLINK(1)", volumes: null, seconds: null, problem: "" }], labels, "");
  assert.match(text, /\r\n'=HYPERLINK\(1\),/);
});
