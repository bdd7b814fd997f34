/** Holds the mirror to what `runtime` on NumPy answers: `vectors.json`, written by tests/web/vectors.py. Runs in Node
 * and, bundled, in a browser; gives what differs, in words. */

import { gunzip } from "../src/formats/gzip.ts";
import { labelFile, readNifti } from "../src/formats/nifti.ts";
import type { Label, Model, Plan, View } from "../src/model.ts";
import { axesAlong } from "../src/runtime/axes.ts";
import { fitted, type Fit } from "../src/runtime/fitted_windows.ts";
import type { Network } from "../src/runtime/inferers.ts";
import { fround, product } from "../src/runtime/numbers.ts";
import { prepare } from "../src/runtime/prepare.ts";
import { Student } from "../src/runtime/student.ts";
import { zeros } from "../src/runtime/volume.ts";
import { axisWindows, stepStarts } from "../src/runtime/windows.ts";
import { decoded } from "../src/worker/golden.ts";
import { sha256 } from "../src/worker/sha256.ts";

interface Windows {
  size: number;
  patch: number;
  step: number;
  blend: string;
  starts: number[];
  weights: string;
  steps: number[];
}

interface Case {
  name: string;
  plan: Plan;
  labels: Label[];
  views: View[];
  fusion: Model["fusion"];
  weights: number[][][];
  scans: Record<string, string>;
  /** SHA-256 of the floats that the first network is shown. */
  prepared: string;
  written: string;
}

export interface Vectors {
  windows: Windows[];
  fitted: (Fit & { shape: number[]; patch: number[]; stride: number[] })[];
  axes: { affine: number[][]; along: ([number, boolean] | null)[] }[];
  cases: Case[];
}

export function differingWindows({ windows }: Vectors): string[] {
  return windows.flatMap(({ size, patch, step, blend, starts, weights, steps }) => {
    const what = `${size} voxels by ${patch}, ${step} apart, ${blend}`;
    const found = axisWindows(size, patch, step, blend);
    const wanted = new Float32Array(decoded(weights).buffer);
    const same = found.every(({ weight }, n) => weight.every((w, i) => w === wanted[n * patch + i]));
    return [
      ...(found.map(({ start }) => start).join() === starts.join() ? [] : [`starts of ${what}`]),
      ...(same ? [] : [`weights of ${what}`]),
      ...(stepStarts(size, patch, step).join() === steps.join() ? [] : [`steps of ${what}`]),
    ];
  });
}

export function differingFits(vectors: Vectors): string[] {
  return vectors.fitted.flatMap(({ shape, patch, stride, ...fit }) => {
    const found = fitted(shape, fit);
    const same = found.patch.join() === patch.join() && found.stride.join() === stride.join();
    return same ? [] : [`${shape}: ${found.patch}, ${found.stride} instead of ${patch}, ${stride}`];
  });
}

export function differingAxes({ axes }: Vectors): string[] {
  return axes.flatMap(({ affine, along }) => {
    const found = axesAlong(affine).map((one) => one && [one.ras, one.towards]);
    return JSON.stringify(found) === JSON.stringify(along) ? [] : [`${affine}: ${JSON.stringify(found)}`];
  });
}

/** Files in, the file of a label map out; the name of the case where a byte differs. */
export async function differing(one: Case): Promise<string[]> {
  const model = { plan: one.plan, labels: one.labels, views: one.views, fusion: one.fusion, modalities: one.plan.modalities };
  const student = new Student(model as Model, one.weights.map(standIn));
  const scans = new Map();
  for (const [modality, packed] of Object.entries(one.scans))
    scans.set(modality, await readNifti(new File([decoded(packed) as BlobPart], `${modality}.nii.gz`)));
  const [like] = scans.values();
  const { image } = prepare(scans, one.plan, one.name, () => undefined);
  if ((await sha256(new Uint8Array(image.data.buffer))) !== one.prepared) return [`${one.name}: the prepared image`];
  const labels = await student.segment(scans, one.name, () => undefined);
  const written = await gunzip(await labelFile(labels, like));
  const wanted = await gunzip(decoded(one.written));
  if (written.length !== wanted.length) return [`${one.name}: ${written.length} bytes instead of ${wanted.length}`];
  const header = like.header.raw.byteLength + 4;
  const apart = [...wanted.keys()].filter((i) => written[i] !== wanted[i]);
  const inHeader = apart.filter((i) => i < header);
  return [
    ...(inHeader.length ? [`${one.name}: header bytes ${inHeader}`] : []),
    ...(apart.length > inHeader.length ? [`${one.name}: ${apart.length - inHeader.length} of ${wanted.length - header} voxels`] : []),
  ];
}

export async function differingCases({ cases }: Vectors): Promise<string[]> {
  const found = [];
  for (const one of cases) found.push(...(await differing(one)));
  return found;
}

/** The network of vectors.py: K sums over M, and a pattern of the place in the window. */
function standIn(weights: number[][]): Network {
  const steps = [7, 13, 29];
  return async (windows) => {
    const [count, modalities, ...shape] = windows.shape;
    const voxels = product(shape);
    const answer = zeros([count, weights.length, ...shape]);
    for (let n = 0; n < count; n++)
      weights.forEach((row, k) => {
        for (let p = 0; p < voxels; p++) {
          let rest = p;
          let pattern = 17 * k;
          for (let axis = shape.length - 1; axis >= 0; axis--) {
            pattern += steps[axis] * (rest % shape[axis]);
            rest = Math.floor(rest / shape[axis]);
          }
          let total = (pattern % 32) / 64 - 0.25;
          for (let m = 0; m < modalities; m++)
            total = fround(total + fround(windows.data[(n * modalities + m) * voxels + p] * fround(row[m])));
          answer.data[(n * weights.length + k) * voxels + p] = total;
        }
      });
    return answer;
  };
}
