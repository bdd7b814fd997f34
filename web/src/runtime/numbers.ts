/** Arithmetic as Python and NumPy do it. Every product and sum of 32-bit floats is rounded by `fround` at once, or
 * stored into a Float32Array, which does the same. */

export const fround = Math.fround;

export type Shape = readonly number[];

/** Python's `round`: of two equally near whole numbers the even one. */
export function round(x: number): number {
  const below = Math.floor(x);
  const part = x - below;
  if (part !== 0.5) return part < 0.5 ? below : below + 1;
  return below % 2 === 0 ? below : below + 1;
}

export function product(values: Iterable<number>): number {
  let found = 1;
  for (const value of values) found *= value;
  return found;
}

export function clipped(x: number, low: number, high: number): number {
  return Math.min(Math.max(x, low), high);
}

/** As of Python: 0 to n - 1. */
export function range(n: number): number[] {
  return Array.from({ length: n }, (_, i) => i);
}

/** Index tuples in the order of nested loops, the last one innermost. */
export function* places(counts: Shape): Generator<number[]> {
  if (counts.length === 0) {
    yield [];
    return;
  }
  for (let n = 0; n < counts[0]; n++) for (const rest of places(counts.slice(1))) yield [n, ...rest];
}
