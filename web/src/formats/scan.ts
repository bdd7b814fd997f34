/** One scan as it is stored: what every reader gives and what is segmented. */

import type { Matrix } from "../runtime/axes.ts";

export type Values =
  | Uint8Array
  | Int8Array
  | Uint16Array
  | Int16Array
  | Uint32Array
  | Int32Array
  | Float32Array
  | Float64Array
  | BigInt64Array
  | BigUint64Array;

/** What a file says it holds. */
export interface Header {
  /** As stored, without trailing axes of one beyond the third; a slice has two axes. */
  shape: readonly number[];
  /** [4 4] voxel index -> RAS+ mm. */
  affine: Matrix;
  /** The spacing that the file states beside its affine, of as many axes as it has. */
  statedMm: readonly number[];
  /** Bytes of one number. */
  valueBytes: number;
  /** All fields as they are stored, which a label map carries over. */
  raw: DataView;
  littleEndian: boolean;
}

export interface Scan {
  name: string;
  /** First axis innermost. */
  values: Values;
  shape: readonly [number, number, number];
  header: Header;
}
