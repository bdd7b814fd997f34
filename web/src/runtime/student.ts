/** A model with everything needed to segment a case: scans in, label values out. Mirrors `runtime/predictor.py`, and
 * of several views `runtime/views.py`. */

import type { Scan } from "../formats/scan.ts";
import type { Model, View } from "../model.ts";
import { Refusal } from "../refusal.ts";
import { finite, whole, type Block, type Blocks } from "./blocks.ts";
import { Fusing } from "./fusing.ts";
import type { Grid } from "./grid.ts";
import { blocksOf, heldBytes, type Network, type Options, type Seen } from "./inferers.ts";
import { exportBlock, LabelMap, likeliest, painted, type Classes, type Decide } from "./label_export.ts";
import { checkRoom } from "./limits.ts";
import { product, type Shape } from "./numbers.ts";
import { prepare, type Prepared } from "./prepare.ts";
import { part, zeros, type Volume } from "./volume.ts";

const IN_STEP = 2 ** 30; // bytes that views may hold which are asked in step

/** Where a case stands. */
export type Told = (stage: "preparing" | "network" | "labels", window: number, of: number) => void;

/** What stands behind a model's networks, as loaded by the worker; in the order of its views. */
export class Student {
  constructor(
    readonly model: Model,
    private readonly networks: readonly Network[],
  ) {}

  /** Label values on the grid of the scans (by modality), first axis innermost. */
  async segment(scans: ReadonlyMap<string, Scan>, what: string, told: Told): Promise<Classes> {
    const { views, plan } = this.model;
    told("preparing", 0, 0);
    const fits = (grid: Grid): void => checkRoom(what, this.neededBytes(grid), grid.workingShape);
    const prepared = prepare(scans, views[0].plan, what, fits);
    const labels = new LabelMap(prepared.grid, plan.label_values);
    if (views.length === 1) await this.one(prepared, labels, what, told);
    else if (this.inStep(prepared.grid.workingShape)) await this.together(prepared, labels, what, told);
    else await this.oneByOne(prepared, labels, what, told);
    return labels.labels;
  }

  private async one({ image, grid }: Prepared, labels: LabelMap, what: string, told: Told): Promise<void> {
    const [view] = this.model.views;
    const decide: Decide = view.answers === "regions" ? painted(paintsOf(view)) : likeliest;
    const seen: Seen = (window, of) => told("network", window, of);
    for await (const block of this.blocks(0, image, what, seen)) exportTo(labels, grid, block, decide);
  }

  /** Views that are cut alike: fused block by block. */
  private async together({ image, grid }: Prepared, labels: LabelMap, what: string, told: Told): Promise<void> {
    const { views } = this.model;
    const fusing = this.fusing();
    const asked = views.map((_, n) => this.blocks(n, image, what, shared(n, views.length, told)));
    for (;;) {
      const found = [];
      for (const blocks of asked) found.push(await blocks.next());
      if (found.some((one) => one.done)) return;
      const blocks = found.map((one) => one.value as Block);
      const logits = blocks.map((block) => block.logits);
      if (fusing.how !== "vote") {
        exportTo(labels, grid, { ...blocks[0], logits: fusing.fused(logits) }, this.decided());
        continue;
      }
      const parted = { ...blocks[0], logits: joined(logits) };
      exportTo(labels, grid, parted, (under, parts) => fusing.voted(apart(under, views.length), parts));
    }
  }

  /** Views that are cut otherwise: one after the other, the sum of their probabilities kept; of a vote what each says. */
  private async oneByOne({ image, grid }: Prepared, labels: LabelMap, what: string, told: Told): Promise<void> {
    const { views } = this.model;
    const fusing = this.fusing();
    const total = zeros([fusing.heads, ...grid.workingShape]);
    const said: Classes[] = [];
    const voxels = product(grid.croppedShape);
    for (const n of views.keys()) {
      const logits = await whole(this.blocks(n, image, what, shared(n, views.length, told)), grid.workingShape);
      if (fusing.how === "vote") {
        const one = new (fusing.regions[0] ? Uint32Array : Uint16Array)(voxels);
        const put = putInto(one, grid.croppedShape);
        exportBlock(everything(logits), grid.workingShape, grid.croppedShape, (under, parts) => fusing.said(under, parts), put);
        said.push(one);
      }
      fusing.add(n, logits, total);
    }
    const mean = fusing.mean(total);
    if (fusing.how !== "vote") {
      exportTo(labels, grid, everything(fusing.scores(mean)), this.decided());
      return;
    }
    exportTo(labels, grid, everything(mean), (under, parts) => {
      const fine = parts.map((side) => side.fine);
      return fusing.counted(said.map((one) => cutOut(one, grid.croppedShape, fine)), under, parts);
    });
  }

  private async *blocks(n: number, image: Volume, what: string, seen: Seen): Blocks {
    const network = heldTo(this.networks[n], this.model.views[n]);
    for await (const block of blocksOf(image, network, optionsOf(this.model.views[n]), seen)) {
      if (!finite(block.logits))
        throw new Refusal(
          `case ${what}: the network answers with NaN or infinite logits`,
          "does the scan hold absurd intensities?",
        );
      yield block;
    }
  }

  private fusing(): Fusing {
    const { views, fusion, plan } = this.model;
    const { how, threshold } = fusion!;
    const regions = views.map((view) => view.answers === "regions");
    if (how === "organs")
      return new Fusing(how, threshold, regions, plan.label_values.length - 1, views.map((view) => view.organ!), []);
    return new Fusing(how, threshold, regions, headsOf(views[0]), [], regions[0] ? paintsOf(views[0]) : []);
  }

  private decided(): Decide {
    const { views, fusion } = this.model;
    const regions = fusion!.how !== "organs" && views[0].answers === "regions";
    return regions ? painted(paintsOf(views[0])) : likeliest;
  }

  private inStep(shape: Shape): boolean {
    const { views } = this.model;
    const alike = views.every((view) => JSON.stringify(view.inferer) === JSON.stringify(views[0].inferer));
    return alike && views.reduce((sum, view) => sum + held(view, shape), 0) <= IN_STEP;
  }

  private neededBytes(grid: Grid): number {
    const { views, plan } = this.model;
    const shape = grid.workingShape;
    const image = 4 * plan.modalities.length * (2 * product(grid.croppedShape) + product(shape));
    const map = 2 * product(grid.originalShape);
    if (views.length === 1) return image + map + held(views[0], shape);
    if (this.inStep(shape)) return image + map + views.reduce((sum, view) => sum + held(view, shape), 0);
    const logits = 2 * 4 * headsOf(views[0]) * product(shape);
    return image + map + logits + views.length * 2 * product(grid.croppedShape) + Math.max(...views.map((view) => held(view, shape)));
  }
}

/** Names of what a network answers with. */
function headsOf(view: View): number {
  return view.answers === "classes" ? view.plan.label_values.length : Object.keys(view.plan.regions).length;
}

/** The class index that each region is painted with: the one that no later region holds. */
export function paintsOf(view: View): number[] {
  const regions = Object.values(view.plan.regions);
  return regions.map((values, n) => {
    const own = values.find((value) => !regions.slice(n + 1).some((later) => later.includes(value)))!;
    return view.plan.label_values.indexOf(own);
  });
}

function optionsOf(view: View): Options {
  return view.inferer as unknown as Options;
}

function held(view: View, shape: Shape): number {
  return heldBytes(optionsOf(view), shape, view.plan.modalities.length, headsOf(view));
}

/** The network, whose every answer is refused unless it has as many maps of the windows' size as the plan names. */
function heldTo(network: Network, view: View): Network {
  return async (windows) => {
    const logits = await network(windows);
    const wanted = [windows.shape[0], headsOf(view), ...windows.shape.slice(2)];
    if (wanted.join() !== logits.shape.join())
      throw new Refusal(
        `the network ${view.network} answers windows [${windows.shape.join(", ")}] with [${logits.shape.join(", ")}]`,
        "export the run that it is of again",
      );
    return logits;
  };
}

function exportTo(labels: LabelMap, grid: Grid, block: Block, decide: Decide): void {
  exportBlock(block, grid.workingShape, grid.croppedShape, decide, (box, classes) => labels.put(box, classes));
}

function everything(logits: Volume): Block {
  return { box: logits.shape.slice(1).map((size) => [0, size] as const), logits, last: true };
}

/** [V K ...] as [V*K ...], and back. */
function joined(views: readonly Volume[]): Volume {
  const [classes, ...shape] = views[0].shape;
  const found = zeros([views.length * classes, ...shape]);
  views.forEach((view, n) => found.data.set(view.data, n * view.data.length));
  return found;
}

function apart(of: Volume, views: number): Volume[] {
  const [all, ...shape] = of.shape;
  const grouped = { data: of.data, shape: [views, all / views, ...shape] };
  return [...Array(views).keys()].map((n) => part(grouped, n));
}

function putInto(one: Classes, shape: Shape): (box: readonly (readonly [number, number])[], classes: Classes | number) => void {
  return (box, classes) => {
    const [[d0, d1], [h0, h1], [w0, w1]] = box;
    for (let d = d0, n = 0; d < d1; d++)
      for (let h = h0; h < h1; h++)
        for (let w = w0; w < w1; w++, n++)
          one[(d * shape[1] + h) * shape[2] + w] = typeof classes === "number" ? classes : classes[n];
  };
}

function cutOut(of: Classes, shape: Shape, box: readonly (readonly [number, number])[]): Classes {
  const [[d0, d1], [h0, h1], [w0, w1]] = box;
  const found = new (of.constructor as Uint32ArrayConstructor)((d1 - d0) * (h1 - h0) * (w1 - w0));
  for (let d = d0, n = 0; d < d1; d++)
    for (let h = h0; h < h1; h++)
      for (let w = w0; w < w1; w++, n++) found[n] = of[(d * shape[1] + h) * shape[2] + w];
  return found;
}

/** Progress of view n of several, as of one. */
function shared(n: number, views: number, told: Told): Seen {
  return (window, of) => told("network", n * of + window, views * of);
}
