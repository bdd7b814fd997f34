/** A volume on another number of voxels over the same extent, linearly. Mirrors `data/preparing/resample.py`. */

import { clipped, fround, product, type Shape } from "./numbers.ts";

/** Image [*from] -> [*to], borders replicated; the same array where nothing changes. */
export function resample(image: Float32Array, from: Shape, to: Shape): Float32Array {
  let data = image;
  const shape = [...from];
  for (const axis of [1, 2, 0]) {
    if (shape[axis] === to[axis]) continue;
    data = mixed(data, shape, axis, to[axis]);
    shape[axis] = to[axis];
  }
  return data;
}

function mixed(image: Float32Array, shape: Shape, axis: number, fine: number): Float32Array {
  const coarse = shape[axis];
  const { lower, upper, weight } = sources(coarse, fine);
  const outer = product(shape.slice(0, axis));
  const inner = product(shape.slice(axis + 1));
  const found = new Float32Array(outer * fine * inner);
  for (let o = 0, to = 0; o < outer; o++)
    for (let i = 0; i < fine; i++) {
      const share = weight[i];
      let low = (o * coarse + lower[i]) * inner;
      let high = (o * coarse + upper[i]) * inner;
      for (let r = 0; r < inner; r++) {
        const below = image[low++];
        found[to++] = fround(fround(image[high++] - below) * share) + below;
      }
    }
  return found;
}

/** For each fine voxel: the coarse ones at either side, and the share of the upper. */
export function sources(coarse: number, fine: number): { lower: Int32Array; upper: Int32Array; weight: Float32Array } {
  const lower = new Int32Array(fine);
  const upper = new Int32Array(fine);
  const weight = new Float32Array(fine);
  for (let i = 0; i < fine; i++) {
    const x = clipped((i + 0.5) * (coarse / fine) - 0.5, 0, coarse - 1);
    lower[i] = Math.floor(x);
    upper[i] = Math.min(lower[i] + 1, coarse - 1);
    weight[i] = x - lower[i];
  }
  return { lower, upper, weight };
}
