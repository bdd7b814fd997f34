/** Intensities to comparable numbers. Mirrors `data/preparing/normalise.py`, where each kind is explained; moments are
 * accumulated in float64. */

import type { Normalisation } from "../model.ts";
import { clipped, fround } from "./numbers.ts";

const PERCENTILES = [0.5, 99.5];
const DAMPING = 1e-3;
const EPS = 1.1920928955078125e-7;

/** `x` of one modality, which is overwritten. */
export function normalise(x: Float32Array, how: Normalisation): Float32Array {
  switch (how.kind) {
    case "none":
      return x;
    case "zscore":
      return zscore(x);
    case "zscore_damped": {
      const { mean, std } = moments(x);
      return standardised(x, mean, std + DAMPING);
    }
    case "zscore_nonzero":
      return zscoreNonzero(x);
    case "minmax": {
      const [low, high] = ends(x);
      return unitRange(x, low, high);
    }
    case "maximum":
      return unitRange(x, 0, ends(x)[1]);
    case "percentile": {
      const sorted = x.slice().sort();
      return unitRange(x, percentile(sorted, PERCENTILES[0]), percentile(sorted, PERCENTILES[1]));
    }
    case "window_zscore": {
      const [low, high] = [fround(how.low!), fround(how.high!)];
      for (let i = 0; i < x.length; i++) x[i] = clipped(x[i], low, high);
      return standardised(x, how.mean!, how.std!);
    }
    case "range":
      return unitRange(x, how.low!, how.high!);
    case "range_zscore_nonzero":
      return zscoreNonzero(unitRange(x, how.low!, how.high!));
  }
  throw new Error(`normalisation ${how.kind}`); // export refuses it
}

/** The kinds that this page knows: export asks. */
export const KINDS = [
  "none",
  "zscore",
  "zscore_damped",
  "zscore_nonzero",
  "minmax",
  "maximum",
  "percentile",
  "window_zscore",
  "range",
  "range_zscore_nonzero",
];

function zscore(x: Float32Array): Float32Array {
  const { mean, std } = moments(x);
  return standardised(x, mean, std);
}

function zscoreNonzero(x: Float32Array): Float32Array {
  const inside = x.filter((value) => value !== 0);
  if (inside.length === 0) return x;
  zscore(inside);
  for (let i = 0, n = 0; i < x.length; i++) if (x[i] !== 0) x[i] = inside[n++];
  return x;
}

function standardised(x: Float32Array, mean: number, std: number): Float32Array {
  if (std <= EPS * Math.abs(mean)) return x.fill(0); // constant up to rounding
  const [centre, width] = [fround(mean), fround(std)];
  for (let i = 0; i < x.length; i++) x[i] = fround(x[i] - centre) / width;
  return x;
}

function unitRange(x: Float32Array, low: number, high: number): Float32Array {
  const [least, most] = [fround(low), fround(high)];
  if (!(most > least)) return x.fill(0);
  const width = fround(most - least);
  for (let i = 0; i < x.length; i++) x[i] = fround(clipped(x[i], least, most) - least) / width;
  return x;
}

function ends(x: Float32Array): [number, number] {
  let [low, high] = [Infinity, -Infinity];
  for (let i = 0; i < x.length; i++) {
    if (x[i] < low) low = x[i];
    if (x[i] > high) high = x[i];
  }
  return [low, high];
}

/** Mean and standard deviation, summed in pairs as NumPy does. */
function moments(x: Float32Array): { mean: number; std: number } {
  const mean = summed(x.length, (i) => x[i]) / x.length;
  const variance =
    summed(x.length, (i) => {
      const apart = x[i] - mean;
      return apart * apart;
    }) / x.length;
  return { mean, std: Math.sqrt(variance) };
}

const PAIRS = 128;

function summed(n: number, value: (i: number) => number): number {
  const from = (first: number, count: number): number => {
    if (count <= PAIRS) {
      let sum = 0;
      for (let i = first; i < first + count; i++) sum += value(i);
      return sum;
    }
    const half = count >> 1;
    return from(first, half) + from(first + half, count - half);
  };
  return from(0, n);
}

/** Linear between the two nearest of ascending values, as NumPy's lerp. */
function percentile(sorted: Float32Array, percent: number): number {
  const place = (sorted.length - 1) * (percent / 100);
  const below = Math.floor(place);
  const above = Math.min(below + 1, sorted.length - 1);
  const [a, b] = [sorted[below], sorted[above]];
  const share = place - below;
  const apart = fround(b - a);
  return share >= 0.5 ? b - apart * (1 - share) : a + apart * share;
}
