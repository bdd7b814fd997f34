/** The golden case: a made-up scan on board, with what the exporter's own prediction of it was. Segmented like any
 * other; equal means every voxel, and every byte of the header. */

import { gunzip } from "../formats/gzip.ts";
import type { Golden } from "./messages.ts";

/** As it is on board, JSON. */
export interface GoldenCase {
  name: string;
  /** By modality: a .nii.gz, base64. */
  scans: Record<string, string>;
  /** The label map's .nii.gz, base64. */
  labels: string;
}

export function goldenCase(bytes: ArrayBuffer): GoldenCase {
  return JSON.parse(new TextDecoder().decode(bytes)) as GoldenCase;
}

export function goldenFiles(golden: GoldenCase): Record<string, File> {
  return Object.fromEntries(
    Object.entries(golden.scans).map(([modality, packed]) => [
      modality,
      new File([decoded(packed) as BlobPart], `${golden.name}.nii.gz`),
    ]),
  );
}

/** How a label map that was made here compares with the exporter's. */
export async function compared(golden: GoldenCase, file: Uint8Array): Promise<Golden> {
  const [here, there] = await Promise.all([gunzip(file), gunzip(decoded(golden.labels))]);
  const header = 352;
  const voxels = there.length - header;
  if (here.length !== there.length) return { equal: false, voxels, differ: voxels };
  let differ = 0;
  for (let i = header; i < there.length; i++) if (here[i] !== there[i]) differ++;
  const same = differ === 0 && there.subarray(0, header).every((byte, i) => byte === here[i]);
  return { equal: same, voxels, differ };
}

export function decoded(base64: string): Uint8Array {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}
