/** What is too large for a browser, told from a header before any voxel is read. As `data/scans/limits.py` and
 * `runtime/room.py`, with a browser's bounds in the place of the machine's. */

import type { Header } from "../formats/scan.ts";
import { Refusal } from "../refusal.ts";
import { product, type Shape } from "./numbers.ts";

const COPIES = 3; // of a scan as 32-bit floats that must fit: as read, as prepared, and the least of logits
const LARGEST = 2 ** 32 - 2 ** 20; // bytes of one array in any browser
const UNKNOWN = 4 * 2 ** 30; // where a browser does not tell the machine's memory
const MOST = 8 * 2 ** 30; // what browsers tell at most, however much there is
const PACKED = 1100; // bytes out of one: more than deflate can do
const SPARE = 2 ** 20;

/** Bytes that a case may take here. */
export function roomBytes(): number {
  const told = (globalThis.navigator as { deviceMemory?: number } | undefined)?.deviceMemory;
  return told === undefined ? UNKNOWN : Math.min(MOST, Math.max(2 ** 30, 0.75 * told * 2 ** 30));
}

/** Throws where a header promises more than a browser, or its file, could hold. */
export function checkSize(name: string, header: Header, fileBytes: number, packed: boolean): void {
  const values = product(header.shape);
  const needed = values * Math.max(header.valueBytes, 4);
  const most = Math.min(roomBytes() / COPIES, LARGEST);
  const shape = header.shape.join(" x ");
  if (needed > most)
    throw new Refusal(
      `${name} says it holds ${shape} voxels (${gb(needed)} as numbers), at most ${gb(most)} fit in a browser here`,
      "crop it, correct its header, or predict it with distilseg",
    );
  const promised = values * header.valueBytes;
  if (packed && promised > PACKED * fileBytes + SPARE)
    throw new Refusal(
      `${name} says it holds ${shape} voxels (${gb(promised)}), far more than its ${fileBytes} bytes can`,
      "correct the header, or export the file again",
    );
}

/** Throws where what a case takes beside its scans is more than there is. */
export function checkRoom(what: string, bytes: number, working: Shape): void {
  const voxels = product(working);
  if (voxels * 4 > LARGEST || bytes > roomBytes())
    throw new Refusal(
      `case ${what}: to segment its ${working.join(" x ")} voxels takes ${gb(bytes)} of memory, ${gb(roomBytes())} is what a browser has here`,
      "crop the scan, or predict it with distilseg",
    );
}

function gb(bytes: number): string {
  return `${(bytes / 1e9).toFixed(1)} GB`;
}
