/** A case and a plan give what a network is shown, and the grid that leads back. Mirrors
 * `data/preparing/preprocess.py`. */

import type { Scan, Values } from "../formats/scan.ts";
import type { Plan } from "../model.ts";
import { Refusal } from "../refusal.ts";
import { makeGrid, type Grid } from "./grid.ts";
import { normalise } from "./normalise.ts";
import { product } from "./numbers.ts";
import { checkSameGrid } from "./plausible.ts";
import { resample } from "./resample.ts";
import { zeros, type Volume } from "./volume.ts";

const MOST = 3.4028234663852886e38 / 4; // what 32-bit floats can be scaled from

export interface Prepared {
  /** [M *S] */
  image: Volume;
  grid: Grid;
}

/** `scans` by modality; `fits` is asked about the grid before anything is resampled, and may refuse it. */
export function prepare(
  scans: ReadonlyMap<string, Scan>,
  plan: Plan,
  what: string,
  fits: (grid: Grid) => void,
): Prepared {
  const missing = plan.modalities.filter((name) => !scans.has(name));
  if (missing.length)
    throw new Refusal(
      `case ${what}: modality ${missing.join(", ")} is missing; it has ${[...scans.keys()].join(", ") || "none"}`,
      `the model needs ${plan.modalities.join(", ")}`,
    );
  const images = plan.modalities.map((name) => scans.get(name)!);
  checkSameGrid(new Map(plan.modalities.map((name, n) => [name, images[n]])), what);
  const grid = makeGrid(images, plan, what);
  fits(grid);
  const image = zeros([images.length, ...grid.workingShape]);
  const voxels = product(grid.workingShape);
  images.forEach((scan, m) => {
    const modality = plan.modalities[m];
    const cropped = cut(scan.values, grid, `case ${what}: ${modality}`);
    const resampled = resample(cropped, grid.croppedShape, grid.workingShape);
    const scaled = normalise(resampled, plan.normalisation[modality]);
    for (let i = 0; i < voxels; i++)
      if (!Number.isFinite(scaled[i]))
        throw new Refusal(`case ${what}: ${modality} holds voxels that are NaN or infinite`, "repair the scan");
    image.data.set(scaled, m * voxels);
  });
  return { image, grid };
}

/** The cropped grid's voxels as 32-bit floats, in C order. */
function cut(values: Values, grid: Grid, what: string): Float32Array {
  const [depth, height, width] = grid.croppedShape;
  const { start, strides } = grid.cropped;
  const found = new Float32Array(depth * height * width);
  const floats = values instanceof Float32Array || values instanceof Float64Array;
  const big = values instanceof BigInt64Array || values instanceof BigUint64Array;
  for (let d = 0, to = 0; d < depth; d++)
    for (let h = 0; h < height; h++) {
      let from = start + d * strides[0] + h * strides[1];
      for (let w = 0; w < width; w++, to++, from += strides[2]) {
        const value = big ? Number(values[from]) : (values[from] as number);
        if (floats && !(Math.abs(value) <= MOST))
          throw Number.isFinite(value)
            ? new Refusal(`${what} holds voxels beyond ±8.5e+37, which is all that 32-bit floats can be scaled from`, "repair the scan")
            : new Refusal(`${what} holds voxels that are NaN or infinite`, "repair the scan");
        found[to] = value;
      }
    }
  return found;
}
