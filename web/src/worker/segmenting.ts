/** One case, from its files to the file of its label map. */

import { labelFile, readNifti, type NiftiScan } from "../formats/nifti.ts";
import type { Model } from "../model.ts";
import { Refusal } from "../refusal.ts";
import { columnLengths } from "../runtime/axes.ts";
import type { Classes } from "../runtime/label_export.ts";
import { determinant } from "../runtime/plausible.ts";
import type { Student } from "../runtime/student.ts";
import type { Done, Progress, Segment, Volume } from "./messages.ts";

export async function segmented(student: Student, asked: Segment, told: (progress: Progress) => void): Promise<Done> {
  const began = performance.now();
  const say = (stage: Progress["stage"], window = 0, of = 0): void =>
    told({ kind: "progress", id: asked.id, stage, window, of });
  say("reading");
  const scans = await readScans(student.model, asked);
  const [like] = scans.values();
  const labels = await student.segment(scans, asked.name, say);
  say("writing");
  const file = await labelFile(labels, like);
  const { affine } = like.header;
  return {
    kind: "done",
    id: asked.id,
    file,
    shape: [...like.shape],
    spacing_mm: columnLengths(affine) as [number, number, number],
    affine: affine.map((row) => [...row]),
    volumes: volumesOf(student.model, labels, Math.abs(determinant(affine))),
    seconds: (performance.now() - began) / 1000,
  };
}

/** The scans in the order of the model's modalities. */
async function readScans(model: Model, asked: Segment): Promise<Map<string, NiftiScan>> {
  const scans = new Map<string, NiftiScan>();
  const expected = `the model expects ${model.modalities.length === 1 ? "one 3D scan" : `${model.modalities.length} 3D scans`} a case: ${model.modalities.join(", ")}`;
  for (const modality of model.modalities) {
    const file = asked.files[modality];
    if (file === undefined) throw new Refusal(`case ${asked.name}: modality ${modality} is missing`, expected);
    const scan = await naming(asked.name, expected, () => readNifti(file));
    if (scan.shape.includes(1) && !model.plan.patch.includes(1))
      throw new Refusal(
        `case ${asked.name}: ${scan.name} is a single slice [${scan.shape.join(", ")}], the model sees ${model.plan.patch.join(" x ")} voxels`,
        `give the whole volume (${expected})`,
      );
    scans.set(modality, scan);
  }
  return scans;
}

/** A refusal of a file says which case it is of, and what is expected. */
async function naming<T>(name: string, expected: string, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    throw new Refusal(`case ${name}: ${error.reason}`, `${error.fix} (${expected})`);
  }
}

function volumesOf(model: Model, labels: Classes, voxelMm3: number): Volume[] {
  const counts = new Map<number, number>(model.labels.map(({ value }) => [value, 0]));
  let [previous, run] = [labels[0], 0];
  for (const value of labels) {
    if (value === previous) {
      run++;
      continue;
    }
    counts.set(previous, (counts.get(previous) ?? 0) + run);
    [previous, run] = [value, 1];
  }
  counts.set(previous, (counts.get(previous) ?? 0) + run);
  return model.labels
    .filter(({ value }) => value !== 0)
    .map(({ value, name }) => {
      const voxels = counts.get(value) ?? 0;
      return { value, name, voxels, ml: (voxels * voxelMm3) / 1000 };
    });
}
