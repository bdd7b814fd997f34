import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import test from "node:test";
import { gzipSync } from "node:zlib";

import { plainScan, readNifti } from "../src/formats/nifti.ts";
import { inflated } from "../src/formats/inflate.ts";
import { Refusal } from "../src/refusal.ts";
import { digestOf, hexadecimal } from "../src/worker/sha256.ts";

interface Stored {
  shape?: number[];
  code?: number;
  bytes?: number;
  spacing?: number[];
  slope?: number;
  inter?: number;
  offset?: number;
  size?: number;
}

/** A NIfTI-1 of ones, 4 x 3 x 2 voxels of int16 unless something else is asked for. */
function nifti({ shape = [4, 3, 2], code = 4, bytes, spacing = [1, 1, 1], slope = 0, inter = 0, offset = 352, size = 348 }: Stored = {}): Uint8Array {
  const file = new Uint8Array(352 + (bytes ?? 2 * shape.reduce((a, b) => a * b, 1))).fill(1, 352);
  const view = new DataView(file.buffer);
  view.setInt32(0, size, true);
  [shape.length, ...shape].forEach((n, i) => view.setInt16(40 + 2 * i, n, true));
  view.setInt16(70, code, true);
  [1, ...spacing].forEach((mm, i) => view.setFloat32(76 + 4 * i, mm, true));
  view.setFloat32(108, offset, true);
  view.setFloat32(112, slope, true);
  view.setFloat32(116, inter, true);
  view.setInt16(254, 1, true);
  spacing.forEach((mm, row) => view.setFloat32(280 + 16 * row + 4 * row, mm, true));
  return file;
}

function refused(content: Uint8Array, name = "scan.nii"): Promise<string> {
  return readNifti(new File([content as BlobPart], name)).then(
    () => "",
    (error: unknown) => {
      if (error instanceof Refusal) return error.message;
      throw error;
    },
  );
}

test("a whole file is read", async () => {
  const scan = await readNifti(new File([gzipSync(nifti())], "scan.nii.gz"));
  assert.deepEqual(scan.shape, [4, 3, 2]);
  assert.ok(scan.values.every((value) => value === 257));
});

const packed = gzipSync(nifti({ shape: [40, 30, 20] }));
const flipped = Uint8Array.from(packed);
flipped[packed.length - 6] ^= 0xff; // of its checksum

const cases: [string, Uint8Array, string, RegExp][] = [
  ["four axes", nifti({ shape: [2, 2, 2, 3] }), "scan.nii", /4D \[2, 2, 2, 3\], a 3D array was expected/],
  ["text", new TextEncoder().encode("patient,age\n".repeat(99)), "scan.nii", /is not a NIfTI file/],
  ["a text file", new TextEncoder().encode("hello"), "notes.txt", /no image ending/],
  ["nothing", new Uint8Array(0), "scan.nii", /is empty/],
  ["half a header", nifti().slice(0, 200), "scan.nii", /ends within its header/],
  ["no voxels", nifti().slice(0, 352), "scan.nii", /a header and no voxels/],
  ["half the voxels", nifti().slice(0, 370), "scan.nii", /holds 18 of 48 bytes/],
  ["a gz cut short", packed.subarray(0, packed.length >> 1), "scan.nii.gz", /ends too early or is damaged/],
  ["a gz with another checksum", flipped, "scan.nii.gz", /ends too early or is damaged/],
  ["colour", nifti({ code: 128, bytes: 72 }), "scan.nii", /type 128/],
  ["spacing of zero", nifti({ spacing: [1, 0, 1] }), "scan.nii", /spacing 1, 0, 1 mm/],
  ["spacing of a metre", nifti({ spacing: [1000, 1, 1] }), "scan.nii", /0.0001 to 100 mm were expected/],
  ["no intercept", nifti({ slope: 2, inter: NaN }), "scan.nii", /unusable scl_inter/],
  ["a shape below one", nifti({ shape: [4, -3, 2], bytes: 48 }), "scan.nii", /says its shape is/],
  ["voxels far behind", nifti({ offset: 1e9 }), "scan.nii", /voxels begin at byte/],
  ["more than any browser", nifti({ shape: [32767, 32767, 32767], bytes: 48 }), "scan.nii", /fit in a browser here/],
  ["more than its file", gzipSync(nifti({ shape: [600, 600, 300], bytes: 48 })), "scan.nii.gz", /far more than its/],
];
for (const [what, content, name, told] of cases)
  test(`refused in one line: ${what}`, async () => {
    const line = await refused(content, name);
    assert.match(line, told);
    assert.ok(!line.includes("\n"));
    assert.ok(line.startsWith(name));
  });

const whole = nifti({ shape: [40, 30, 20] });
for (const level of [0, 1, 9])
  test(`gzip of several members, with zeros behind, is read: level ${level}`, () => {
    const noisy = whole.map((value, i) => (i < 352 ? value : (i * 2654435761) >>> (8 + (i % 5))));
    const halves = [noisy.subarray(0, 9000), noisy.subarray(9000)].map((half) => gzipSync(half, { level }));
    const packed = Buffer.concat([...halves, Buffer.alloc(99)]);
    assert.deepEqual(inflated(packed, 1e6), noisy);
    assert.deepEqual(inflated(packed, 5000), noisy.subarray(0, 5000)); // no more than was asked for
    packed[packed.length - 101] ^= 1; // of the last member's length
    assert.throws(() => inflated(packed, 1e6), /checksum/);
    assert.throws(() => inflated(packed.subarray(0, 5000), 1e6), /cut short/);
    assert.throws(() => inflated(Buffer.concat([halves[0], Buffer.from("no gzip")]), 1e6), /something else/);
  });

test("bytes that are damaged anywhere are refused, or are what they were", () => {
  const noisy = whole.slice(0, 3000).map((value, i) => (i < 352 ? value : (i * 2654435761) >>> 9));
  const packed = gzipSync(noisy);
  for (let n = 0; n < 400; n++) {
    const damaged = Uint8Array.from(packed);
    damaged[(n * 7919) % packed.length] ^= 1 << n % 8;
    let found: Uint8Array | null = null;
    try {
      found = inflated(damaged, 1e6);
    } catch (error) {
      assert.ok(error instanceof Error && !(error instanceof RangeError || error instanceof TypeError), String(error));
    }
    if (found) assert.deepEqual(found, noisy);
  }
});

test("our own SHA-256 is the standard's", () => {
  for (const n of [0, 1, 55, 56, 63, 64, 65, 1000]) {
    const bytes = Uint8Array.from({ length: n }, (_, i) => (i * 37) & 255);
    assert.equal(hexadecimal(digestOf(bytes)), createHash("sha256").update(bytes).digest("hex"));
  }
});

test("much may follow voxels that are not packed, as in Python", async () => {
  const file = nifti();
  const longer = new Uint8Array(file.length + 2 ** 21);
  longer.set(file);
  assert.equal(await refused(longer), "");
  assert.match(await refused(gzipSync(longer), "scan.nii.gz"), /far more than the 24 voxels/);
});

test("a viewer gets numbers as this page reads them, whatever the header says", async () => {
  const unusual = nifti({ slope: 0.5, inter: 2, offset: -5 });
  const members = Buffer.concat([gzipSync(unusual.subarray(0, 360)), gzipSync(unusual.subarray(360))]);
  const [shown, plain] = [await plainScan(new File([members], "a.nii.gz")), await readNifti(new File([unusual as BlobPart], "a.nii"))];
  const again = await readNifti(shown);
  assert.deepEqual(again.values, plain.values);
  assert.deepEqual(again.header.affine, plain.header.affine);
  assert.deepEqual([again.header.type, again.header.offset, shown.name], ["float32", 352, "scan.nii"]);
  const long = await readNifti(await plainScan(new File([nifti({ code: 1024, bytes: 8 * 24 }) as BlobPart], "a.nii")));
  assert.equal(long.header.type, "float32");
});
