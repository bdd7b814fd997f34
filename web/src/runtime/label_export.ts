/** From logits on the working grid to label values on the grid of the scan. Mirrors `runtime/label_export.py`, where
 * the reasoning stands. */

import type { Block } from "./blocks.ts";
import type { Grid } from "./grid.ts";
import { fround, places, product, range, type Shape } from "./numbers.ts";
import { boxedAll, part as classOf, type Box, type Side, type Volume } from "./volume.ts";

export type Classes = Uint8Array | Uint16Array | Uint32Array;

const BLOCK = 48; // edge of a piece in voxels
const EPS = 1.1920928955078125e-7;

/** A piece of one axis: fine value = (1 - weight) * coarse[lower] + weight * coarse[upper]. */
export interface Part {
  fine: Side;
  /** Of the block's logits. */
  coarse: Side;
  /** Indices into the coarse side. */
  lower: Int32Array;
  upper: Int32Array;
  weight: Float32Array;
}

/** Logits [K *c] under a piece -> class indices of the piece, or one class for all of it. */
export type Decide = (under: Volume, parts: readonly Part[]) => Classes | number;

/** Label values on the original grid of a case, first axis innermost as a NIfTI stores them. */
export class LabelMap {
  readonly labels: Classes;
  private readonly grid: Grid;
  private readonly values: readonly number[];

  constructor(grid: Grid, values: readonly number[]) {
    this.grid = grid;
    this.values = values;
    this.labels = new (smallest(Math.max(...values)))(product(grid.originalShape)).fill(values[0]);
  }

  /** Class indices of a box of the cropped grid. */
  put(box: Box, classes: Classes | number): void {
    const { start, strides } = this.grid.cropped;
    const [[d0, d1], [h0, h1], [w0, w1]] = box;
    for (let d = d0, n = 0; d < d1; d++)
      for (let h = h0; h < h1; h++) {
        const row = start + d * strides[0] + h * strides[1];
        for (let w = w0; w < w1; w++, n++) {
          const k = typeof classes === "number" ? classes : classes[n];
          this.labels[row + w * strides[2]] = this.values[k];
        }
      }
  }
}

/** The smallest unsigned type that holds a value. */
export function smallest(highest: number): Uint8ArrayConstructor | Uint16ArrayConstructor | Uint32ArrayConstructor {
  return highest < 256 ? Uint8Array : highest < 65536 ? Uint16Array : Uint32Array;
}

/** Puts what `decide` makes of a block of logits, of the grid `coarse`, on the grid `fine`. */
export function exportBlock(
  block: Block,
  coarse: Shape,
  fine: Shape,
  decide: Decide,
  put: (box: Box, classes: Classes | number) => void,
): void {
  const axes = block.box.map((side, axis) => partsOf(side, coarse[axis], fine[axis]));
  for (const place of places(axes.map((parts) => parts.length))) {
    const parts = place.map((n, axis) => axes[axis][n]);
    const under = boxedAll(block.logits, parts.map((part) => part.coarse));
    put(parts.map((part) => part.fine), decide(under, parts));
  }
}

/** The class of the highest logit, the lowest of equal ones; a single number where it is one alone. */
export function likeliest(under: Volume, parts: readonly Part[]): Classes | number {
  const candidates = candidatesOf(under);
  if (candidates.length === 1) return candidates[0];
  const best = interpolated(classOf(under, candidates[0]), parts).slice();
  const winner = new Uint16Array(best.length).fill(candidates[0]);
  for (const k of candidates.slice(1)) {
    const value = interpolated(classOf(under, k), parts);
    for (let i = 0; i < best.length; i++)
      if (value[i] > best[i]) {
        winner[i] = k;
        best[i] = value[i];
      }
  }
  return winner;
}

/** Of region logits the class of the last region that is above 0, else the background. */
export function painted(paints: readonly number[]): Decide {
  return (under, parts) => {
    const classes = new Uint8Array(product(parts.map((part) => part.lower.length)));
    paints.forEach((k, r) => {
      const coarse = classOf(under, r);
      if (!anyAbove(coarse.data)) return;
      const value = interpolated(coarse, parts);
      for (let i = 0; i < value.length; i++) if (value[i] > 0) classes[i] = k;
    });
    return classes;
  };
}

export function anyAbove(data: Float32Array): boolean {
  for (let i = 0; i < data.length; i++) if (data[i] > 0) return true;
  return false;
}

/** One class on the piece's grid: linear along the last axis first. May share memory with the logits. */
export function interpolated(coarse: Volume, parts: readonly Part[]): Float32Array {
  let { data } = coarse;
  const shape = [...coarse.shape];
  for (const axis of range(parts.length).reverse()) {
    const { lower, upper, weight } = parts[axis];
    const n = lower.length;
    if (n === shape[axis] && weight.every((share) => share === 0)) continue; // voxel by voxel the same
    const outer = product(shape.slice(0, axis));
    const inner = product(shape.slice(axis + 1));
    const found = new Float32Array(outer * n * inner);
    for (let o = 0, to = 0; o < outer; o++)
      for (let i = 0; i < n; i++) {
        const share = weight[i];
        const rest = fround(1 - share);
        let below = (o * shape[axis] + lower[i]) * inner;
        let above = (o * shape[axis] + upper[i]) * inner;
        for (let r = 0; r < inner; r++)
          found[to++] = fround(data[above++] * share) + fround(data[below++] * rest);
      }
    data = found;
    shape[axis] = n;
  }
  return data;
}

/** All of an axis as one piece. */
export function wholeAxis(coarse: number, fine: number): Part {
  return { fine: [0, fine], coarse: [0, coarse], ...ends(coarse, fine) };
}

/** The pieces of one axis of `fine` voxels whose upper one of `coarse` voxels lies in a block's side. */
function partsOf(side: Side, coarse: number, fine: number): Part[] {
  const { lower, upper, weight } = ends(coarse, fine);
  const start = firstFrom(upper, side[0]);
  const stop = firstFrom(upper, side[1]);
  const before = Math.max(0, side[0] - 1); // where the block's logits begin
  const count = Math.ceil((stop - start) / BLOCK);
  const edge = (n: number): number => start + Math.floor(((stop - start) * n) / count);
  return range(count).map((n) => {
    const piece = [edge(n), edge(n + 1)] as const;
    const first = lower[piece[0]];
    const last = upper[piece[1] - 1];
    return {
      fine: piece,
      coarse: [first - before, last + 1 - before] as const,
      lower: lower.slice(...piece).map((i) => i - first),
      upper: upper.slice(...piece).map((i) => i - first),
      weight: weight.slice(...piece),
    };
  });
}

/** Index of the first of ascending numbers that is not below `value`. */
function firstFrom(ascending: Int32Array, value: number): number {
  const found = ascending.findIndex((n) => n >= value);
  return found < 0 ? ascending.length : found;
}

/** For each fine voxel the coarse ones at either side, and the share of the upper. */
function ends(coarse: number, fine: number): { lower: Int32Array; upper: Int32Array; weight: Float32Array } {
  const lower = new Int32Array(fine);
  const upper = new Int32Array(fine);
  const weight = new Float32Array(fine);
  // Voxel centres: x = (i + 1/2) coarse / fine - 1/2, rounded as torch does.
  const scale = fround(coarse / fine);
  for (let i = 0; i < fine; i++) {
    if (coarse === fine) {
      lower[i] = upper[i] = i;
      continue;
    }
    const source = fround(Math.max((i + 0.5) * scale - 0.5, 0));
    lower[i] = Math.min(Math.floor(source), coarse - 1);
    upper[i] = Math.min(lower[i] + 1, coarse - 1);
    weight[i] = source - lower[i];
  }
  return { lower, upper, weight };
}

/** Classes that may win somewhere among or between these voxels, in ascending order. */
function candidatesOf(under: Volume): number[] {
  const classes = under.shape[0];
  const low = new Float32Array(classes);
  const high = new Float32Array(classes);
  let largest = 0;
  for (let k = 0; k < classes; k++) {
    const { data } = classOf(under, k);
    let [least, most] = [Infinity, -Infinity];
    for (let i = 0; i < data.length; i++) {
      if (data[i] < least) least = data[i];
      if (data[i] > most) most = data[i];
    }
    [low[k], high[k]] = [least, most];
    largest = Math.max(largest, Math.abs(least), Math.abs(most));
  }
  // Each of the three interpolations rounds at most three times: 9 half-eps of the largest magnitude.
  const bound = Math.max(...low) - 16 * EPS * largest;
  return range(classes).filter((k) => high[k] >= bound);
}
