/** A volume in, its logits out, block by block. Mirrors `runtime/inferers.py`: windows stand in the same places, are
 * shown to the network in the same order, and are blended by the same weights. */

import { toAverage, logitsOfMean } from "./averaging.ts";
import { Blending, blendingFloats, layered, outer, type Block, type Blocks } from "./blocks.ts";
import { fitted, type Fit } from "./fitted_windows.ts";
import { fround, places as nested, product, type Shape } from "./numbers.ts";
import { boxed, boxedAll, copy, flipped, padded, part, zeros, type Box, type Side, type Volume } from "./volume.ts";
import { axisWindows, covering, stepStarts, windowSteps, type AxisWindow } from "./windows.ts";

/** Windows [N M *P] -> logits [N K *P]. */
export type Network = (windows: Volume) => Promise<Volume>;

/** After each pass of the network: how many windows of how many have been seen. */
export type Seen = (window: number, of: number) => void;

export interface SlidingWindow {
  kind: "sliding_window";
  patch: Shape;
  overlap: number;
  blend: string;
  batch: number;
  mirror: boolean | Shape;
  stride: Shape | null;
  average: string;
  activation: string;
}

export interface FittedWindows extends Fit {
  kind: "fitted_windows";
  patch: Shape;
  blend: string;
  batch: number;
  mirror: boolean | Shape;
  average: string;
  activation: string;
}

export interface Slices {
  kind: "slices";
  patch: Shape;
  axis: number;
  overlap: number;
  blend: string;
  batch: number;
  mirror: boolean | Shape;
}

export interface Slabs {
  kind: "slabs";
  patch: Shape;
  axis: number;
  stride: number;
  average: string;
  activation: string;
  batch: number;
  divisor: number;
  pad: "edge" | "zeros";
}

/** All fields are there: export writes the defaults too. */
export type Options = SlidingWindow | FittedWindows | Slices | Slabs;

const AT_ONCE = 2 ** 20; // voxels that a network is shown in one pass, if a single window is not more

/** Logits of an image [M *S], box by box, each as soon as it is done. */
export function blocksOf(image: Volume, network: Network, options: Options, seen: Seen): Blocks {
  const cut = cutOf(options, image.shape.slice(1));
  switch (cut.kind) {
    case "sliding_window":
      return slidingWindow(image, network, cut, seen);
    case "slices":
      return slices(image, network, cut, seen);
    case "slabs":
      return slabs(image, network, cut, seen);
  }
}

/** How such a volume is cut: windows that are fitted to it are a sliding window of their size. */
export function cutOf(options: Options, shape: Shape): SlidingWindow | Slices | Slabs {
  if (options.kind !== "fitted_windows") return options;
  const { patch, stride } = fitted(shape, options);
  const { blend, batch, mirror, average, activation } = options;
  return { kind: "sliding_window", patch, stride, overlap: 0.25, blend, batch, mirror, average, activation };
}

/** Memory for the windows and logits of a volume, beside the volume and the weights. */
export function heldBytes(options: Options, shape: Shape, modalities: number, classes: number): number {
  const cut = cutOf(options, shape);
  let [window, grown, held, count] = [0, 0, 0, 1];
  if (cut.kind === "sliding_window") {
    const whole = cut.patch.map((p, axis) => Math.max(p, shape[axis]));
    window = product(cut.patch);
    const axes = axesOf(whole, cut);
    held = axes.some((axis) => axis.length > 1) ? blendingFloats(axes) : window;
    grown = product(whole) > product(shape) ? product(whole) : 0;
  } else if (cut.kind === "slices") {
    const plane = product(inPlane(shape, cut.axis).map((size, n) => Math.max(size, cut.patch[n])));
    [window, count, held] = [product(cut.patch), cut.batch, 3 * cut.batch * plane];
  } else {
    const plane = product(inPlane(shape, cut.axis).map((size) => size + cut.divisor));
    const thickness = cut.patch[cut.axis];
    [window, grown, count] = [thickness * plane, product(shape), cut.batch];
    held = plane * (thickness + 3 * cut.batch * cut.stride);
  }
  return 4 * (modalities * (grown + 2 * count * window) + classes * (2 * count * window + held));
}

async function* slidingWindow(image: Volume, network: Network, how: SlidingWindow, seen: Seen): Blocks {
  const shape = image.shape.slice(1);
  const grown = grownTo(image, how.patch);
  const mirrored = mirroredAxes(how.mirror, how.patch.length);
  const blending = new Blending(axesOf(grown.image.shape.slice(1), how));
  const places = blending.places();
  if (places.length === 1) {
    const answer = part(await asked(stacked([grown.image]), network, mirrored), 0);
    seen(1, 1);
    const box = answer.shape.slice(1).map((size) => [0, size] as const);
    yield ungrown({ box, logits: answer, last: true }, grown.before, shape);
    return;
  }
  const batch = atOnce(how.batch, how.patch);
  for (let first = 0; first < places.length; first += batch) {
    const here = places.slice(first, first + batch);
    const windows = stacked(here.map((place) => boxedAll(grown.image, blending.box(place))));
    const answers = await asked(windows, network, mirrored);
    seen(first + here.length, places.length);
    for (const [n, place] of here.entries()) {
      const block = blending.add(place, toAverage(part(answers, n), how.average, how.activation));
      logitsOfMean(block.logits, how.average, how.activation);
      yield ungrown(block, grown.before, shape);
    }
  }
}

function slices(image: Volume, network: Network, how: Slices, seen: Seen): Blocks {
  const [modalities, ...shape] = image.shape;
  const count = shape[how.axis];
  const inPlaneShape = inPlane(shape, how.axis);
  const across = (volume: Volume, from: number, to: number): Volume => {
    const box = volume.shape.map((size, a) => (a === 1 + how.axis ? [from, to] : [0, size]) as Side);
    return boxed(volume, box);
  };
  async function* chunks(): AsyncGenerator<{ planes: Side; logits: Volume }> {
    for (let first = 0; first < count; first += how.batch) {
      const behind = Math.min(first + how.batch, count);
      const planes = [];
      for (let n = first; n < behind; n++)
        planes.push({ data: across(image, n, n + 1).data, shape: [modalities, ...inPlaneShape] });
      const logits = await planesOf(planes, network, how);
      seen(behind, count);
      yield { planes: [first, behind], logits: movedBehind(logits, how.axis) };
    }
  }
  return layered(chunks(), how.axis, shape);
}

/** Logits [B K *S] of a few slices, by overlapping patches in their plane. */
async function planesOf(planes: Volume[], network: Network, how: Slices): Promise<Volume> {
  const grown = planes.map((plane) => grownTo(plane, how.patch));
  const mirrored = mirroredAxes(how.mirror, how.patch.length);
  const [shape, whole] = [planes[0].shape.slice(1), grown[0].image.shape.slice(1)];
  const inner = shape.map((size, axis) => [grown[0].before[axis], grown[0].before[axis] + size] as const);
  const axes = axesOf(whole, { ...how, stride: null });
  const places = [...nested(axes.map((axis) => axis.length))].map((place) => place.map((n, axis) => axes[axis][n]));
  const cropped = (logits: Volume): Volume => boxed(logits, [[0, logits.shape[0]], [0, logits.shape[1]], ...inner]);
  if (places.length === 1) return cropped(await asked(stacked(grown.map(({ image }) => image)), network, mirrored));
  const all = planes.flatMap((_, b) => places.map((place) => ({ b, place })));
  let sums: Volume | null = null;
  for (let first = 0; first < all.length; first += how.batch) {
    const here = all.slice(first, first + how.batch);
    const windows = stacked(here.map(({ b, place }) => boxedAll(grown[b].image, boxOf(place, how.patch))));
    const answers = await asked(windows, network, mirrored);
    sums ??= zeros([planes.length, answers.shape[1], ...whole]);
    for (const [n, { b, place }] of here.entries())
      addWeighed(part(answers, n), part(sums, b), boxOf(place, how.patch), outer(place.map(({ weight }) => weight)));
  }
  return cropped(sums!);
}

function slabs(image: Volume, network: Network, how: Slabs, seen: Seen): Blocks {
  const shape = image.shape.slice(1);
  const { axis, batch, stride } = how;
  const k = how.patch[axis];
  const wanted = shape.map((size, a) => (a === axis ? Math.max(k, size) : Math.ceil(size / how.divisor) * how.divisor));
  const none = image.shape.map(() => 0);
  const grown = padded(image, none, [0, ...wanted.map((size, a) => size - shape[a])], how.pad);
  const starts = stepStarts(shape[axis], k, stride);
  const counts = covering(shape[axis], k, stride);
  const planes = (of: Volume, from: number, to: number): Box =>
    of.shape.map((size, a) => (a === 1 + axis ? [from, to] : [0, size]) as Side);
  const flat = (of: Shape): Shape => of.filter((_, a) => a !== 1 + axis);

  async function* chunks(): AsyncGenerator<{ planes: Side; logits: Volume }> {
    let sums: Volume | null = null; // of the slices from the batch's first window to its last one's end
    for (let first = 0; first < starts.length; first += batch) {
      const here = starts.slice(first, first + batch);
      const windows = stacked(
        here.map((start) => {
          const slab = boxed(grown, planes(grown, start, start + k));
          return k === 1 ? { data: slab.data, shape: flat(slab.shape) } : slab;
        }),
      );
      const answers = await asked(windows, network, []);
      seen(first + here.length, starts.length);
      const ofWindow = wanted.map((size, a) => (a === axis ? k : size));
      sums ??= zeros([answers.shape[1], ...wanted.map((size, a) => (a === axis ? (batch - 1) * stride + k : size))]);
      for (const [n, start] of here.entries()) {
        const told = part(answers, n);
        const answer = { data: told.data, shape: [told.shape[0], ...ofWindow] };
        toAverage(answer, how.average, how.activation);
        const box = planes(sums, start - here[0], start - here[0] + k).slice(1);
        addWeighed(answer, sums, box, null);
      }
      const more = first + batch < starts.length;
      const done: Side = [here[0], more ? starts[first + batch] : shape[axis]];
      const mean = boxed(
        sums,
        [[0, sums.shape[0]], ...shape.map((size, a) => (a === axis ? [0, done[1] - done[0]] : [0, size]) as Side)],
      );
      divided(mean, counts.subarray(...done), 1 + axis);
      yield { planes: done, logits: logitsOfMean(mean, how.average, how.activation) };
      if (more) {
        const left = boxed(sums, planes(sums, done[1] - done[0], sums.shape[1 + axis]));
        sums.data.fill(0);
        copy(sums, planes(sums, 0, left.shape[1 + axis]), left, planes(left, 0, left.shape[1 + axis]));
      }
    }
  }
  return layered(chunks(), axis, shape);
}

/** The windows along each axis. */
function axesOf(
  shape: Shape,
  how: { patch: Shape; overlap: number; blend: string; stride: Shape | null },
): AxisWindow[][] {
  const steps = windowSteps(how.patch, how.overlap, how.stride);
  return shape.map((size, axis) => axisWindows(size, how.patch[axis], steps[axis], how.blend));
}

function mirroredAxes(mirror: boolean | Shape, axes: number): number[] {
  return Array.isArray(mirror) ? [...mirror] : mirror ? [...Array(axes).keys()] : [];
}

/** Logits [N K *P], the mean over all flips of the mirrored axes. */
async function asked(windows: Volume, network: Network, mirrored: readonly number[]): Promise<Volume> {
  const total = await network(windows);
  if (mirrored.length === 0) return total;
  const flips = combinations(mirrored).slice(1);
  for (const chosen of flips) {
    const axes = chosen.map((axis) => 2 + axis);
    const answer = flipped(await network(flipped(windows, axes)), axes);
    for (let i = 0; i < total.data.length; i++) total.data[i] += answer.data[i];
  }
  const count = flips.length + 1;
  for (let i = 0; i < total.data.length; i++) total.data[i] /= count;
  return total;
}

/** All subsets, smaller ones first, as `itertools.combinations` of each size. */
function combinations(of: readonly number[]): number[][] {
  const found: number[][] = [];
  const choose = (size: number, from: number, chosen: number[]): void => {
    if (chosen.length === size) found.push(chosen);
    else for (let n = from; n < of.length; n++) choose(size, n + 1, [...chosen, of[n]]);
  };
  for (let size = 0; size <= of.length; size++) choose(size, 0, []);
  return found;
}

function atOnce(batch: number, patch: Shape): number {
  return Math.max(1, Math.min(batch, Math.floor(AT_ONCE / product(patch))));
}

function inPlane(shape: Shape, axis: number): number[] {
  return shape.filter((_, n) => n !== axis);
}

/** The image grown to at least the patch by repeating its edges, and where it begins in the result. */
function grownTo(image: Volume, patch: Shape): { image: Volume; before: number[] } {
  const lacking = patch.map((p, axis) => Math.max(0, p - image.shape[axis + 1]));
  const before = lacking.map((more) => Math.floor(more / 2));
  if (lacking.every((more) => more === 0)) return { image, before };
  const behind = lacking.map((more, axis) => more - before[axis]);
  return { image: padded(image, [0, ...before], [0, ...behind], "edge"), before };
}

/** A block of a grown image as one of the image. Along an axis that was grown there is one window. */
function ungrown(block: Block, before: Shape, shape: Shape): Block {
  const grown = block.box.map(([start, stop], axis) => stop - start > shape[axis]);
  if (!grown.some(Boolean)) return block;
  const inner = grown.map((is, axis): Side =>
    is ? [before[axis], before[axis] + shape[axis]] : [0, block.logits.shape[axis + 1]],
  );
  const box = block.box.map((side, axis): Side => (grown[axis] ? [0, shape[axis]] : side));
  return { box, logits: boxedAll(block.logits, inner), last: block.last };
}

function boxOf(place: readonly AxisWindow[], patch: Shape): Box {
  return place.map(({ start }, axis) => [start, start + patch[axis]] as const);
}

/** [N ...] of N volumes of one shape. */
function stacked(volumes: readonly Volume[]): Volume {
  const found = zeros([volumes.length, ...volumes[0].shape]);
  volumes.forEach((volume, n) => part(found, n).data.set(volume.data));
  return found;
}

/** [B K *S] -> [K ... B ...], the first axis as the volume's `axis`. */
function movedBehind(of: Volume, axis: number): Volume {
  const [count, classes, ...plane] = of.shape;
  const shape = [classes, ...plane.slice(0, axis), count, ...plane.slice(axis)];
  const found = zeros(shape);
  for (let b = 0; b < count; b++) {
    const one = { data: part(of, b).data, shape: [classes, ...plane.slice(0, axis), 1, ...plane.slice(axis)] };
    const there = shape.map((size, a) => (a === 1 + axis ? [b, b + 1] : [0, size]) as Side);
    copy(found, there, one, one.shape.map((size) => [0, size] as const));
  }
  return found;
}

/** to[box] += answer * weight, of all classes. */
function addWeighed(answer: Volume, to: Volume, box: Box, weight: Volume | null): void {
  for (let k = 0; k < answer.shape[0]; k++) {
    const [from, sums] = [part(answer, k), part(to, k)];
    const last = box.length - 1;
    const width = box[last][1] - box[last][0];
    let n = 0;
    for (const place of nested(box.slice(0, last).map(([start, stop]) => stop - start))) {
      let at = place.reduce((sum, i, axis) => sum * sums.shape[axis] + box[axis][0] + i, 0);
      at = at * sums.shape[last] + box[last][0];
      for (let i = 0; i < width; i++, n++)
        sums.data[at + i] += weight === null ? from.data[n] : fround(from.data[n] * weight.data[n]);
    }
  }
}

/** of / counts along an axis. */
function divided(of: Volume, counts: Float32Array, axis: number): void {
  const inner = product(of.shape.slice(axis + 1));
  for (let i = 0; i < of.data.length; i++) of.data[i] /= counts[Math.floor(i / inner) % counts.length];
}
