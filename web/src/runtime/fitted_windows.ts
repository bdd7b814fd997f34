/** Windows fitted to a scan: how large, and how far apart. Mirrors `functional/fitted_windows.py`. */

import { places, product, type Shape } from "./numbers.ts";

const MOST_CHOICES = 32;

export interface Fit {
  multiple: Shape;
  least: Shape;
  most: Shape;
  overlap: Shape;
  most_voxels: number;
}

/** Voxels of a window, and from one to the next at most, for a scan of `shape` voxels. */
export function fitted(shape: Shape, fit: Fit): { patch: number[]; stride: number[] } {
  const limits = smallest(fit.multiple, fit.least, fit.overlap);
  const choices = shape.map((size, axis) =>
    axisChoices(size, fit.multiple[axis], fit.least[axis], fit.most[axis], fit.overlap[axis], limits[axis]),
  );
  let best: readonly (readonly [number, number])[] = [];
  let bestKey: readonly number[] = [];
  for (const place of places(choices.map((axis) => axis.length))) {
    const chosen = place.map((n, axis) => choices[axis][n]);
    const voxels = product(chosen.map(([extent]) => extent));
    const windows = product(chosen.map(([, count]) => count));
    const key = [voxels > fit.most_voxels ? 1 : 0, voxels * windows, windows];
    if (best.length === 0 || before(key, bestKey)) [best, bestKey] = [chosen, key];
  }
  return {
    patch: best.map(([extent]) => extent),
    stride: best.map(([extent, count], axis) => (count === 1 ? extent : extent - fit.overlap[axis])),
  };
}

/** Voxels of the smallest window that leaves room beside the overlap. */
function smallest(multiple: Shape, least: Shape, overlap: Shape): number[] {
  return least.map((size, axis) => Math.max(size, up(overlap[axis] + 1, multiple[axis])));
}

/** Extents of windows along an axis of `size` voxels, and how many of each it takes. */
function axisChoices(
  size: number,
  multiple: number,
  least: number,
  most: number,
  overlap: number,
  limit: number,
): [number, number][] {
  const whole = Math.max(least, up(size, multiple));
  const found = new Map<number, number>(); // of each count the smallest extent
  if (whole <= most) found.set(1, whole);
  for (let extent = Math.min(whole - multiple, most); extent >= limit; extent -= multiple) {
    found.set(count(size, extent, overlap), extent);
    if (found.size === MOST_CHOICES) break;
  }
  if (limit < whole) found.set(count(size, limit, overlap), limit);
  return [...found].map(([n, extent]) => [extent, n]);
}

function count(size: number, extent: number, overlap: number): number {
  return Math.max(0, Math.ceil((size - extent) / (extent - overlap))) + 1;
}

function up(size: number, by: number): number {
  return Math.ceil(size / by) * by;
}

/** Whether one list of numbers comes before another, the first number counting most. */
function before(one: readonly number[], other: readonly number[]): boolean {
  for (let n = 0; n < one.length; n++) if (one[n] !== other[n]) return one[n] < other[n];
  return false;
}
