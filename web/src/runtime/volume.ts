/** Arrays of 32-bit floats with a shape, in C order: the last axis is innermost. Boxes of them, copied and added. */

import { product, type Shape } from "./numbers.ts";

/** [K *S]: K modalities or classes of a volume of any number of axes. */
export interface Volume {
  data: Float32Array;
  shape: Shape;
}

/** First voxel, and the one behind the last, along each axis. */
export type Side = readonly [number, number];
export type Box = readonly Side[];

export function zeros(shape: Shape): Volume {
  return { data: new Float32Array(product(shape)), shape };
}

export function extents(box: Box): number[] {
  return box.map(([start, stop]) => stop - start);
}

export function everywhere(shape: Shape): Box {
  return shape.map((size) => [0, size] as const);
}

/** Element k of the first axis, sharing memory. */
export function part(of: Volume, k: number): Volume {
  const inner = product(of.shape.slice(1));
  return { data: of.data.subarray(k * inner, (k + 1) * inner), shape: of.shape.slice(1) };
}

/** `use(to, from, n)` for every run of n neighbours along the last axis of two boxes of one size. */
function runs(
  toShape: Shape,
  to: Box,
  fromShape: Shape,
  from: Box,
  use: (to: number, from: number, n: number) => void,
): void {
  const axes = to.length;
  const last = axes - 1;
  const n = to[last][1] - to[last][0];
  const walk = (axis: number, there: number, here: number): void => {
    if (axis === last) {
      use(there * toShape[last] + to[last][0], here * fromShape[last] + from[last][0], n);
      return;
    }
    const count = to[axis][1] - to[axis][0];
    for (let i = 0; i < count; i++)
      walk(axis + 1, there * toShape[axis] + to[axis][0] + i, here * fromShape[axis] + from[axis][0] + i);
  };
  if (n > 0) walk(0, 0, 0);
}

/** to[box] = from[box]. */
export function copy(to: Volume, there: Box, from: Volume, here: Box): void {
  runs(to.shape, there, from.shape, here, (t, f, n) => to.data.set(from.data.subarray(f, f + n), t));
}

/** to[box] += from[box]. */
export function add(to: Volume, there: Box, from: Volume, here: Box): void {
  runs(to.shape, there, from.shape, here, (t, f, n) => {
    for (let i = 0; i < n; i++) to.data[t + i] += from.data[f + i];
  });
}

/** A box of a volume, in memory of its own. */
export function boxed(of: Volume, box: Box): Volume {
  const found = zeros(extents(box));
  copy(found, everywhere(found.shape), of, box);
  return found;
}

/** The box [K *b] of all K. */
export function boxedAll(of: Volume, box: Box): Volume {
  return boxed(of, [[0, of.shape[0]], ...box]);
}

/** Mirrored along the given axes. */
export function flipped(of: Volume, axes: readonly number[]): Volume {
  const found = zeros(of.shape);
  const { shape } = of;
  const rank = shape.length;
  const turned = shape.map((_, axis) => axes.includes(axis));
  const last = rank - 1;
  const n = shape[last];
  let to = 0;
  const walk = (axis: number, here: number): void => {
    if (axis === last) {
      const row = here * n;
      if (turned[last]) for (let i = 0; i < n; i++) found.data[to + i] = of.data[row + n - 1 - i];
      else found.data.set(of.data.subarray(row, row + n), to);
      to += n;
      return;
    }
    const size = shape[axis];
    for (let i = 0; i < size; i++) walk(axis + 1, here * size + (turned[axis] ? size - 1 - i : i));
  };
  walk(0, 0);
  return found;
}

/** Grown by repeating its edges (or by zeros), `before` and `behind` along each axis. */
export function padded(of: Volume, before: Shape, behind: Shape, how: "edge" | "zeros"): Volume {
  const shape = of.shape.map((size, axis) => size + before[axis] + behind[axis]);
  const found = zeros(shape);
  const last = shape.length - 1;
  const walk = (axis: number, there: number, here: number): void => {
    const size = of.shape[axis];
    for (let i = 0; i < shape[axis]; i++) {
      const wanted = i - before[axis];
      if (how === "zeros" && (wanted < 0 || wanted >= size)) continue;
      const source = here * size + Math.min(Math.max(wanted, 0), size - 1);
      if (axis === last) found.data[there * shape[axis] + i] = of.data[source];
      else walk(axis + 1, there * shape[axis] + i, source);
    }
  };
  walk(0, 0, 0);
  return found;
}
