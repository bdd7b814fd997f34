/** Logits block by block: windows blended, and what no later window touches handed on. Mirrors `runtime/blocks.py`,
 * where the reasoning stands. Index i of `sums` is voxel start - 1 + i of the volume. */

import { places, product, range, type Shape } from "./numbers.ts";
import { add, boxed, boxedAll, copy, extents, part, zeros, type Box, type Side, type Volume } from "./volume.ts";
import type { AxisWindow } from "./windows.ts";

const LARGE = 2 ** 23;
const MUCH_LESS = 0.75;

/** Logits that are done; those of all blocks together are those of the volume, each voxel's once. */
export interface Block {
  /** Of the volume, which this block adds. */
  box: Box;
  /** [K *B], from one voxel below the box along each axis, where there is one. */
  logits: Volume;
  last: boolean;
}

export type Blocks = AsyncGenerator<Block>;

/** The logits of the box alone. */
export function inside(block: Block): Volume {
  const starts = block.box.map(([start]) => (start > 0 ? 1 : 0));
  return boxedAll(block.logits, starts.map((start, axis) => [start, block.logits.shape[axis + 1]] as const));
}

/** The logits [K *shape] of all blocks. */
export async function whole(blocks: Blocks, shape: Shape): Promise<Volume> {
  let found: Volume | null = null;
  for await (const block of blocks) {
    found ??= zeros([block.logits.shape[0], ...shape]);
    const inner = inside(block);
    copy(found, [[0, inner.shape[0]], ...block.box], inner, inner.shape.map((size) => [0, size] as const));
  }
  return found!;
}

/** Blocks of chunks of whole planes [K *S], each with the planes across `axis` that it holds, in order. */
export async function* layered(
  chunks: AsyncGenerator<{ planes: Side; logits: Volume }>,
  axis: number,
  shape: Shape,
): Blocks {
  let before: Volume | null = null;
  for await (const { planes, logits: chunk } of chunks) {
    const size = chunk.shape[1 + axis];
    const logits = before === null ? chunk : joined(before, chunk, 1 + axis);
    before = boxed(chunk, chunk.shape.map((n, a) => (a === 1 + axis ? [size - 1, size] : [0, n]) as Side));
    const box = shape.map((n, a) => (a === axis ? planes : [0, n]) as Side);
    yield { box, logits, last: planes[1] === shape[axis] };
  }
}

function joined(one: Volume, other: Volume, axis: number): Volume {
  const first = one.shape[axis];
  const found = zeros(one.shape.map((size, a) => (a === axis ? size + other.shape[a] : size)));
  const box = (volume: Volume, start: number): Box =>
    volume.shape.map((size, a) => (a === axis ? [start, start + size] : [0, size]) as Side);
  copy(found, box(one, 0), one, box(one, 0));
  copy(found, box(other, first), other, box(other, 0));
  return found;
}

/** Whether all of them are numbers. */
export function finite(logits: Volume): boolean {
  for (let i = 0; i < logits.data.length; i++) if (!Number.isFinite(logits.data[i])) return false;
  return true;
}

/** The windows of a volume: added one by one in the order of `places`, each gives a block back. */
export class Blending {
  private readonly axes: Axis[];
  private readonly order: readonly number[];
  private kept: Volume[] = []; // [K ...] by level of the loops, the outermost first

  constructor(windows: readonly (readonly AxisWindow[])[]) {
    this.axes = windows.map((axis) => new Axis(axis));
    this.order = cheapestOrder(this.axes);
  }

  /** Which window along each axis, in the order in which they are added. */
  places(): number[][] {
    return [...places(this.order.map((axis) => this.axes[axis].starts.length))].map((numbers) => {
      const place = new Array<number>(numbers.length);
      this.order.forEach((axis, level) => (place[axis] = numbers[level]));
      return place;
    });
  }

  /** The voxels of a window. */
  box(place: Shape): Box {
    return this.axes.map((axis, n) => [axis.starts[place[n]], axis.starts[place[n]] + axis.patch] as const);
  }

  /** The block that is done once this answer [K *P] counts too. */
  add(place: Shape, answer: Volume): Block {
    const classes = answer.shape[0];
    if (this.kept.length === 0)
      this.kept = keptShapes(this.axes, this.order).map((shape) => zeros([classes, ...shape]));
    const here = this.axes.map((axis, n) => axis.at(place[n]));
    const { loads, saves } = this.moves(here);
    const weight = outer(here.map((side) => side.weight));
    const done = here.map((side) => [side.number ? 0 : 1, 1 + side.done] as const);
    const logits = zeros([classes, ...extents(done)]);
    const sums = zeros(here.map((side) => 1 + side.weight.length));
    for (let k = 0; k < classes; k++) {
      sums.data.fill(0);
      weighed(part(answer, k), weight, sums);
      for (const { level, there, kept } of loads) add(sums, there, part(this.kept[level], k), kept);
      for (const { level, there, kept } of saves) copy(part(this.kept[level], k), kept, sums, there);
      const to = part(logits, k);
      copy(to, to.shape.map((size) => [0, size] as const), sums, done);
    }
    const box = here.map((side) => [side.start, side.start + side.done] as const);
    return { box, logits, last: here.every((side) => side.last) };
  }

  /** What is taken from the layers and put into them: level, box of the sums, box of the layer. */
  private moves(here: readonly AxisSide[]): { loads: Move[]; saves: Move[] } {
    const loads: Move[] = [];
    const saves: Move[] = [];
    const all = here.map((side) => [0, 1 + side.weight.length] as Side);
    this.order.forEach((axis, level) => {
      const side = here[axis];
      const inner = this.order.slice(level + 1);
      if (side.number) {
        const there = [...all];
        there[axis] = [0, side.known];
        const kept = [...there];
        for (const n of inner) {
          there[n] = [here[n].known, 1 + this.axes[n].patch];
          kept[n] = [here[n].start - 1 + here[n].known, here[n].start + this.axes[n].patch];
        }
        loads.push({ level, there, kept });
      }
      if (!side.last) {
        const there = [...all];
        const kept = [...all];
        there[axis] = [side.done, 1 + this.axes[axis].patch];
        kept[axis] = [0, 1 + this.axes[axis].patch - side.done];
        for (const n of inner) {
          there[n] = [1, 1 + here[n].done];
          kept[n] = [here[n].start, here[n].start + here[n].done];
        }
        saves.push({ level, there, kept });
      }
    });
    return { loads, saves };
  }
}

interface Move {
  level: number;
  there: Box;
  kept: Box;
}

/** A window along one axis. */
interface AxisSide {
  number: number;
  start: number;
  /** Of the voxels from start - 1 on so many have sums already; 1 of the first window. */
  known: number;
  /** Voxels from its start to the next one's, or to the end. */
  done: number;
  last: boolean;
  weight: Float32Array;
}

/** The windows along one axis. */
class Axis {
  readonly patch: number;
  readonly starts: readonly number[];

  constructor(private readonly windows: readonly AxisWindow[]) {
    this.patch = windows[0].weight.length;
    this.starts = windows.map((window) => window.start);
  }

  get size(): number {
    return this.starts[this.starts.length - 1] + this.patch;
  }

  /** Voxels that a window leaves to the next one, with the one below it; 0 where there is no next. */
  get layer(): number {
    const steps = this.starts.slice(1).map((start, n) => start - this.starts[n]);
    return steps.length ? 1 + this.patch - Math.min(...steps) : 0;
  }

  at(n: number): AxisSide {
    const start = this.starts[n];
    const last = n === this.starts.length - 1;
    const known = n === 0 ? 1 : 1 + this.starts[n - 1] + this.patch - start;
    const done = last ? this.patch : this.starts[n + 1] - start;
    return { number: n, start, known, done, last, weight: this.windows[n].weight };
  }
}

function keptShapes(axes: readonly Axis[], order: readonly number[]): number[][] {
  return order.map((across, level) => {
    const inner = order.slice(level);
    const sides = axes.map((axis, n) => (inner.includes(n) ? axis.size : 1 + axis.patch));
    sides[across] = axes[across].layer;
    return sides;
  });
}

function cheapestOrder(axes: readonly Axis[]): readonly number[] {
  const natural = range(axes.length);
  if (product(axes.map((axis) => axis.size)) < LARGE) return natural;
  const kept = (order: readonly number[]): number =>
    keptShapes(axes, order).reduce((sum, shape) => sum + product(shape), 0);
  let best: readonly number[] = natural;
  for (const order of permutations(natural)) if (kept(order) < kept(best)) best = order;
  return kept(best) < MUCH_LESS * kept(natural) ? best : natural;
}

function* permutations(of: readonly number[]): Generator<number[]> {
  if (of.length === 0) yield [];
  for (const first of of)
    for (const rest of permutations(of.filter((n) => n !== first))) yield [first, ...rest];
}

/** What a `Blending` of these windows holds of each class, two blocks included, in numbers. */
export function blendingFloats(windows: readonly (readonly AxisWindow[])[]): number {
  const axes = windows.map((axis) => new Axis(axis));
  const kept = keptShapes(axes, cheapestOrder(axes)).reduce((sum, shape) => sum + product(shape), 0);
  const block = product(
    axes.map((axis) => 1 + Math.max(...range(axis.starts.length).map((n) => axis.at(n).done))),
  );
  return kept + 2 * block;
}

/** The product of weights along the axes, rounded axis by axis. */
export function outer(weights: readonly Float32Array[]): Volume {
  let data = weights[0];
  for (const weight of weights.slice(1)) {
    const grown = new Float32Array(data.length * weight.length);
    for (let i = 0; i < data.length; i++)
      for (let j = 0; j < weight.length; j++) grown[i * weight.length + j] = data[i] * weight[j];
    data = grown;
  }
  return { data, shape: weights.map((weight) => weight.length) };
}

/** sums[1:, 1:, 1:] = answer * weight. */
function weighed(answer: Volume, weight: Volume, sums: Volume): void {
  const [depth, height, width] = answer.shape;
  for (let d = 0, from = 0; d < depth; d++)
    for (let h = 0; h < height; h++) {
      let to = ((d + 1) * (height + 1) + h + 1) * (width + 1) + 1;
      for (let w = 0; w < width; w++, from++, to++) sums.data[to] = answer.data[from] * weight.data[from];
    }
}
