/** Headers of NIfTI-1 and NIfTI-2 of either byte order, and that of an array that carries one over bit by bit.
 * Mirrors `data/scans/nifti_header.py`, and what `nifti.py` leaves to nibabel. */

import { Refusal } from "../refusal.ts";
import { range } from "../runtime/numbers.ts";
import type { Classes } from "../runtime/label_export.ts";
import type { Header } from "./scan.ts";

export const SIZE_1 = 348;
export const SIZE_2 = 540;
const AGAIN = "copy or export the file again";
const UNIT_MM: Record<number, number> = { 1: 1000, 3: 0.001 }; // metres, microns; anything else is taken as mm
const ROUNDED = 1e-3; // what rounding may add to the length of a quaternion

/** Where the fields are, and as what they are stored. */
interface Layout {
  size: number;
  dim: number;
  datatype: number;
  pixdim: number;
  voxOffset: number;
  slope: number;
  units: number;
  qformCode: number;
  sformCode: number;
  quaternion: number; // b c d, then offsets x y z
  rows: number;
  integer: (view: DataView, at: number, little: boolean) => number; // of dim
  real: (view: DataView, at: number, little: boolean) => number;
  code: (view: DataView, at: number, little: boolean) => number; // of forms
  integerBytes: number;
  realBytes: number;
}

const LAYOUT_1: Layout = {
  size: SIZE_1,
  dim: 40,
  datatype: 70,
  pixdim: 76,
  voxOffset: 108,
  slope: 112,
  units: 123,
  qformCode: 252,
  sformCode: 254,
  quaternion: 256,
  rows: 280,
  integer: (view, at, little) => view.getInt16(at, little),
  real: (view, at, little) => view.getFloat32(at, little),
  code: (view, at, little) => view.getInt16(at, little),
  integerBytes: 2,
  realBytes: 4,
};
const LAYOUT_2: Layout = {
  size: SIZE_2,
  dim: 16,
  datatype: 12,
  pixdim: 104,
  voxOffset: 168,
  slope: 176,
  units: 500,
  qformCode: 344,
  sformCode: 348,
  quaternion: 352,
  rows: 400,
  integer: (view, at, little) => Number(view.getBigInt64(at, little)),
  real: (view, at, little) => view.getFloat64(at, little),
  code: (view, at, little) => view.getInt32(at, little),
  integerBytes: 8,
  realBytes: 8,
};

/** Of what type voxels are, by NIfTI's code. */
export const TYPES: Record<number, { bytes: number; name: string }> = {
  2: { bytes: 1, name: "uint8" },
  4: { bytes: 2, name: "int16" },
  8: { bytes: 4, name: "int32" },
  16: { bytes: 4, name: "float32" },
  64: { bytes: 8, name: "float64" },
  256: { bytes: 1, name: "int8" },
  512: { bytes: 2, name: "uint16" },
  768: { bytes: 4, name: "uint32" },
  1024: { bytes: 8, name: "int64" },
  1280: { bytes: 8, name: "uint64" },
};

/** What is written: label maps, and scans as a viewer gets them. */
export type Stored = Classes | Int16Array | Float32Array;

function codeOf(array: Stored): number {
  if (array instanceof Uint8Array) return 2;
  if (array instanceof Int16Array) return 4;
  if (array instanceof Float32Array) return 16;
  return array instanceof Uint16Array ? 512 : 768;
}

/** What a NIfTI header says beside what every header does. */
export interface NiftiHeader extends Header {
  type: string;
  /** Where the voxels begin. */
  offset: number;
  slope: number;
  inter: number;
  /** Axes that the file has. */
  axes: number;
}

/** The header that the first bytes of a file are; `bytes` holds at least SIZE_2 of them, or all there are. */
export function headerOf(name: string, bytes: Uint8Array): NiftiHeader {
  if (bytes.length === 0) throw new Refusal(`${name} is empty`, AGAIN);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const sizes = bytes.length < 4 ? [] : [view.getInt32(0, true), view.getInt32(0, false)];
  const layout = [LAYOUT_1, LAYOUT_2].find(({ size }) => sizes.includes(size));
  if (layout === undefined) throw new Refusal(`${name} is not a NIfTI file`, "convert it to NIfTI");
  if (bytes.length < layout.size) throw new Refusal(`${name} ends within its header`, AGAIN);
  const little = sizes[0] === layout.size;
  const raw = new DataView(bytes.slice(0, layout.size).buffer);
  const integer = (at: number): number => layout.integer(raw, at, little);
  const real = (at: number): number => layout.real(raw, at, little);
  const axes = integer(layout.dim);
  const stored = range(Math.max(0, Math.min(axes, 7))).map((n) => integer(layout.dim + (n + 1) * layout.integerBytes));
  if (axes < 1 || axes > 7 || Math.min(...stored) < 1)
    throw new Refusal(`${name} says its shape is [${stored.join(", ")}]`, AGAIN);
  const code = raw.getInt16(layout.datatype, little);
  const type = TYPES[code];
  if (type === undefined) throw new Refusal(`${name} holds voxels of NIfTI's type ${code}`, "store one number per voxel");
  const told = layout === LAYOUT_1 ? real(layout.voxOffset) : integer(layout.voxOffset);
  const offset = told < layout.size ? layout.size + 4 : Math.trunc(told); // 0: they follow the header
  if (!(offset <= 2 ** 26)) throw new Refusal(`${name} says its voxels begin at byte ${told}`, AGAIN);
  const [slope, inter] = [real(layout.slope), real(layout.slope + layout.realBytes)];
  const scaled = slope !== 0 && Number.isFinite(slope);
  if (scaled && !Number.isFinite(inter)) throw new Refusal(`${name} has an unusable scl_inter (${inter})`, AGAIN);
  const unit = UNIT_MM[unitsOf(raw, layout, little)] ?? 1;
  const header = {
    shape: [...stored.slice(0, 3), ...stored.slice(3).filter((n) => n !== 1)],
    affine: affineOf(name, raw, layout, little, stored, unit),
    statedMm: range(Math.min(3, axes)).map((n) => real(layout.pixdim + (n + 1) * layout.realBytes) * unit),
    valueBytes: type.bytes,
    raw,
    littleEndian: little,
  };
  return { ...header, type: type.name, offset, slope: scaled ? slope : 1, inter: scaled ? inter : 0, axes };
}

function unitsOf(raw: DataView, layout: Layout, little: boolean): number {
  return (layout === LAYOUT_1 ? raw.getUint8(layout.units) : raw.getInt32(layout.units, little)) & 7;
}

/** Sform, else qform, else the voxel sizes; in mm. */
function affineOf(
  name: string,
  raw: DataView,
  layout: Layout,
  little: boolean,
  shape: readonly number[],
  unit: number,
): number[][] {
  const real = (at: number, n: number): number => layout.real(raw, at + n * layout.realBytes, little);
  const pixdim = range(4).map((n) => real(layout.pixdim, n));
  let rows: number[][];
  if (layout.code(raw, layout.sformCode, little)) {
    rows = range(3).map((r) => range(4).map((c) => real(layout.rows, 4 * r + c)));
  } else if (layout.code(raw, layout.qformCode, little)) {
    const turned = rotation(name, range(3).map((n) => real(layout.quaternion, n)), layout);
    const sizes = pixdim.slice(1);
    if (sizes.some((mm) => mm < 0))
      throw new Refusal(`${name} has an unusable qform (voxel sizes below zero)`, "correct its header");
    if (pixdim[0] < 0) sizes[2] = -sizes[2];
    rows = turned.map((row, r) => [...row.map((x, c) => x * sizes[c]), real(layout.quaternion, 3 + r)]);
  } else {
    // Nothing is said but voxel sizes: centred, the first axis towards the left.
    const sizes = range(3).map((n) => (n < shape.length ? pixdim[n + 1] : 1) * (n === 0 ? -1 : 1));
    const centre = range(3).map((n) => ((n < shape.length ? shape[n] : 1) - 1) / 2);
    rows = range(3).map((r) => [...range(3).map((c) => (r === c ? sizes[r] : 0)), -centre[r] * sizes[r]]);
  }
  rows = rows.map((row) => row.map((value) => value * unit));
  if (shape.length === 2 && rows.every((row) => row[2] === 0)) thickened(rows); // no thickness is known: 1 mm
  return [...rows, [0, 0, 0, 1]];
}

function thickened(rows: number[][]): void {
  const [a, b] = [0, 1].map((c) => rows.map((row) => row[c]));
  const normal = [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
  const length = Math.sqrt(normal.reduce((sum, x) => sum + x * x, 0)) || 1;
  rows.forEach((row, r) => (row[2] = normal[r] / length));
}

/** [3 3] of a quaternion (a, b, c, d) of which (b, c, d) are stored. */
function rotation(name: string, bcd: number[], layout: Layout): number[][] {
  let rest = 1 - bcd.reduce((sum, x) => sum + x * x, 0);
  const rounding = 3 * (layout === LAYOUT_1 ? 1.1920928955078125e-7 : 2.220446049250313e-16);
  if (Math.abs(rest) < rounding) rest = 0;
  if (!(rest >= 0)) {
    const length = Math.hypot(...bcd);
    if (!(length < 1 + ROUNDED))
      throw new Refusal(`${name} has an unusable qform (its quaternion is no rotation)`, "correct its header");
    bcd = bcd.map((x) => x / length);
    rest = 0;
  }
  const a = Math.sqrt(rest);
  const [b, c, d] = bcd;
  const s = 2 / (a * a + b * b + c * c + d * d);
  return [
    [1 - (c * (c * s) + d * (d * s)), b * (c * s) - a * (d * s), b * (d * s) + a * (c * s)],
    [b * (c * s) + a * (d * s), 1 - (b * (b * s) + d * (d * s)), c * (d * s) - a * (b * s)],
    [b * (d * s) - a * (c * s), c * (d * s) + a * (b * s), 1 - (b * (b * s) + c * (c * s))],
  ];
}

/** A header, and the four bytes behind it, of an array with the geometry of another, bit by bit. */
export function headerLike(like: NiftiHeader, shape: readonly number[], array: Stored): Uint8Array {
  const layout = like.raw.byteLength === SIZE_1 ? LAYOUT_1 : LAYOUT_2;
  if (layout === LAYOUT_1 && Math.max(...shape) > 32767)
    throw new Refusal("a label map of more than 32767 voxels along an axis is NIfTI-2", "predict it with distilseg");
  const bytes = new Uint8Array(layout.size + 4);
  const view = new DataView(bytes.buffer);
  view.setInt32(0, layout.size, true);
  const dims = [shape.length, ...shape, ...Array<number>(7 - shape.length).fill(1)];
  if (layout === LAYOUT_1) {
    bytes.set([0x6e, 0x2b, 0x31, 0], 344); // n+1
    dims.forEach((n, i) => view.setInt16(layout.dim + 2 * i, n, true));
    view.setFloat32(layout.voxOffset, layout.size + 4, true);
    view.setFloat32(layout.slope, 1, true);
    view.setUint8(layout.units, unitsOf(like.raw, layout, like.littleEndian));
  } else {
    bytes.set([0x6e, 0x2b, 0x32, 0, 13, 10, 26, 10], 4); // n+2
    dims.forEach((n, i) => view.setBigInt64(layout.dim + 8 * i, BigInt(n), true));
    view.setBigInt64(layout.voxOffset, BigInt(layout.size + 4), true);
    view.setFloat64(layout.slope, 1, true);
    view.setInt32(layout.units, unitsOf(like.raw, layout, like.littleEndian), true);
  }
  view.setInt16(layout.datatype, codeOf(array), true);
  view.setInt16(layout.datatype + 2, 8 * array.BYTES_PER_ELEMENT, true);
  const carry = (at: number, count: number, size: number): void => {
    for (let n = 0; n < count; n++)
      for (let i = 0; i < size; i++) {
        const from = at + n * size + (like.littleEndian ? i : size - 1 - i);
        bytes[at + n * size + i] = like.raw.getUint8(from);
      }
  };
  carry(layout.pixdim, 4, layout.realBytes);
  for (let n = 4; n < 8; n++)
    if (layout === LAYOUT_1) view.setFloat32(layout.pixdim + 4 * n, 1, true);
    else view.setFloat64(layout.pixdim + 8 * n, 1, true);
  carry(layout.qformCode, 2, layout === LAYOUT_1 ? 2 : 4);
  carry(layout.quaternion, 6, layout.realBytes);
  carry(layout.rows, 12, layout.realBytes);
  return bytes;
}
