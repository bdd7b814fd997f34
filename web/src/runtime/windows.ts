/** Where windows stand along an axis, and what each counts. Mirrors `functional/windows.py`. */

import { range, round, type Shape } from "./numbers.ts";

const LEAST_WEIGHT = 1e-3;

/** Where a patch lies along one axis; over all windows of the axis weights sum to 1 at every voxel. */
export interface AxisWindow {
  start: number;
  weight: Float32Array;
}

export function evenStarts(size: number, patch: number, step: number): number[] {
  const n = Math.ceil((size - patch) / step) + 1;
  return range(n).map((i) => round((i * (size - patch)) / Math.max(n - 1, 1)));
}

export function stepStarts(size: number, patch: number, step: number): number[] {
  const last = Math.max(0, size - patch);
  const starts = [];
  for (let start = 0; start < last; start += step) starts.push(start);
  return [...starts, last];
}

/** How many windows of `stepStarts` cover each position. */
export function covering(size: number, patch: number, step: number): Float32Array {
  const counts = new Float32Array(size);
  for (const start of stepStarts(size, patch, step))
    for (let i = start; i < Math.min(start + patch, size); i++) counts[i] += 1;
  return counts;
}

export function axisWindows(size: number, patch: number, step: number, blend: string): AxisWindow[] {
  const profile = new Float64Array(patch).fill(1);
  if (blend === "gaussian")
    for (let i = 0; i < patch; i++) {
      const distance = (i - (patch - 1) / 2) / (patch / 8);
      profile[i] = Math.max(Math.exp(-0.5 * (distance * distance)), LEAST_WEIGHT);
    }
  const starts = evenStarts(size, patch, step);
  const total = new Float64Array(size);
  for (const start of starts) for (let i = 0; i < patch; i++) total[start + i] += profile[i];
  return starts.map((start) => ({
    start,
    weight: Float32Array.from(profile, (value, i) => value / total[start + i]),
  }));
}

/** Voxels from one window to the next, at most, along each axis. */
export function windowSteps(patch: Shape, overlap: number, stride: Shape | null): Shape {
  return stride ?? patch.map((size) => Math.max(1, Math.floor(size * (1 - overlap))));
}
