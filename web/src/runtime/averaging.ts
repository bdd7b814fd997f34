/** What a mean over windows or views is taken of, and the logits that stand for it. As `to_average` and
 * `logits_of_mean` of `runtime/inferers.py`. */

import { fround, product } from "./numbers.ts";
import type { Volume } from "./volume.ts";

const TINY = 1.1754943508222875e-38;
const ROUNDING = 1.1920928955078125e-7;

/** Logits [K *S] as probabilities where those are averaged; they are overwritten. */
export function toAverage(logits: Volume, average: string, activation: string): Volume {
  if (average === "logits") return logits;
  const { data } = logits;
  if (activation === "sigmoid") {
    for (let i = 0; i < data.length; i++) data[i] = 1 / fround(fround(Math.exp(-data[i])) + 1);
    return logits;
  }
  const classes = logits.shape[0];
  const voxels = product(logits.shape.slice(1));
  for (let i = 0; i < voxels; i++) {
    let most = data[i];
    for (let k = 1; k < classes; k++) most = Math.max(most, data[k * voxels + i]);
    let sum = 0;
    for (let k = 0; k < classes; k++) {
      const p = fround(Math.exp(fround(data[k * voxels + i] - most)));
      data[k * voxels + i] = p;
      sum = fround(sum + p);
    }
    for (let k = 0; k < classes; k++) data[k * voxels + i] /= sum;
  }
  return logits;
}

/** The logits that stand for the mean; it is overwritten. */
export function logitsOfMean(mean: Volume, average: string, activation: string): Volume {
  if (average === "logits") return mean;
  const { data } = mean;
  if (activation === "softmax") {
    for (let i = 0; i < data.length; i++) data[i] = Math.log(Math.max(data[i], TINY));
    return mean;
  }
  const most = fround(1 - ROUNDING);
  for (let i = 0; i < data.length; i++) {
    const p = Math.min(Math.max(data[i], ROUNDING), most);
    data[i] = Math.log(fround(p / fround(1 - p)));
  }
  return mean;
}
