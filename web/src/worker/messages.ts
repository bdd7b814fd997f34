/** The contract between the page and the worker that segments. The page never talks to the worker itself: it calls
 * `client.ts`, which promises what stands here.
 *
 *     open                    -> opened | refused            once; checks digests, compiles, segments the golden case
 *     segment {id, files}     -> progress... then done | refused       one at a time, in the order of asking
 *
 * To cancel is to end the worker (`Client.cancel`); a fresh one opens by itself at the next `segment`.
 */

import type { Model } from "../model.ts";

/** What runs the network. `webgpu` only where one window proved equal to `wasm`. */
export type Backend = "wasm" | "webgpu";

/** Whether this browser gives what the exporter gave, on a small case on board. */
export interface Golden {
  /** null: there is none on board. */
  equal: boolean | null;
  voxels: number;
  differ: number;
}

export interface Opened {
  kind: "opened";
  backend: Backend;
  /** Why not the faster one, in one line, where it was tried: "webgpu: ConvTranspose is not supported". "" else. */
  why: string;
  threads: number;
  golden: Golden;
  seconds: number;
}

/** Where a case stands. `of` is 0 where there is nothing to count. Sent at least once per window. */
export interface Progress {
  kind: "progress";
  id: number;
  stage: "reading" | "preparing" | "network" | "labels" | "writing";
  window: number;
  of: number;
}

/** Of one label; the background is left out. */
export interface Volume {
  value: number;
  name: string;
  voxels: number;
  ml: number;
}

/** A label map, as `distilseg predict` writes it: same space, type, name and, unpacked, the same bytes. */
export interface Done {
  kind: "done";
  id: number;
  /** The whole file, gzip'd NIfTI. Save it under the case's name + ".nii.gz"; hand it to the viewer as it is. */
  file: Uint8Array;
  /** Its header in brief: axes of the voxels, millimetres between them, voxel -> RAS mm by rows. */
  shape: [number, number, number];
  spacing_mm: [number, number, number];
  affine: number[][];
  /** In the order of the model's labels, those of no voxel included. */
  volumes: Volume[];
  seconds: number;
}

/** One line for people: what is wrong and what to do, never HTML. `id` is null where the model itself is refused. */
export interface Refused {
  kind: "refused";
  id: number | null;
  cause: string;
  fix: string;
  /** Whether the worker is of no more use, such as without memory: the client starts a fresh one for the next case. */
  broken: boolean;
}

export type Reply = Opened | Progress | Done | Refused;

/** All that the worker needs, copied to it once. */
export interface Open {
  kind: "open";
  model: Model;
  /** The WebAssembly of ONNX Runtime, unpacked; of the folder variant a URL. */
  engine: ArrayBuffer | string;
  networks: ArrayBuffer[];
  golden: ArrayBuffer | null;
  threads: number;
  webgpu: boolean;
}

export interface Segment {
  kind: "segment";
  id: number;
  /** The case's name, for messages. */
  name: string;
  /** By modality, every one of `model.modalities`. */
  files: Record<string, File>;
}

export type Request = Open | Segment;
