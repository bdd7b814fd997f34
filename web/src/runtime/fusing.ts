/** How the logits of several views become one answer. Mirrors `runtime/fusing.py`; label maps of a vote are counted
 * voxel by voxel. */

import { logitsOfMean, toAverage } from "./averaging.ts";
import { anyAbove, interpolated, likeliest, type Classes, type Part } from "./label_export.ts";
import { fround, product, range } from "./numbers.ts";
import { part as classOf, zeros, type Volume } from "./volume.ts";

export class Fusing {
  constructor(
    readonly how: string,
    readonly threshold: number,
    /** Whether logits are of regions; of each view. */
    readonly regions: readonly boolean[],
    /** Of a view's logits, or of organs. */
    readonly heads: number,
    /** Of each view, where views are of one organ each. */
    readonly organOf: readonly number[],
    readonly paints: readonly number[],
  ) {}

  /** Adds a view's probabilities; its logits are overwritten. */
  add(view: number, logits: Volume, to: Volume): void {
    const p = toAverage(logits, "probabilities", this.regions[view] ? "sigmoid" : "softmax");
    const organ = this.how === "organs";
    const from = organ ? classOf(p, p.shape[0] - 1).data : p.data;
    const sums = organ ? classOf(to, this.organOf[view]).data : to.data;
    for (let i = 0; i < from.length; i++) sums[i] += from[i];
  }

  /** Of a sum of all views, which is overwritten. */
  mean(sum: Volume): Volume {
    range(sum.shape[0]).forEach((k) => {
      const count = this.how === "organs" ? this.organOf.filter((n) => n === k).length : this.regions.length;
      const { data } = classOf(sum, k);
      for (let i = 0; i < data.length; i++) data[i] /= count;
    });
    return sum;
  }

  /** Logits of which the highest, or of regions those above 0, are the answer; overwrites the mean. */
  scores(mean: Volume): Volume {
    if (this.how === "organs") {
      const grown = zeros([mean.shape[0] + 1, ...mean.shape.slice(1)]);
      classOf(grown, 0).data.fill(this.threshold);
      grown.data.set(mean.data, product(mean.shape.slice(1)));
      return logitsOfMean(grown, "probabilities", "softmax");
    }
    if (this.regions[0]) {
      const at = this.how === "threshold" ? this.threshold : 0.5;
      const from = fround(Math.log(at / (1 - at)));
      const scores = logitsOfMean(mean, "probabilities", "sigmoid");
      for (let i = 0; i < scores.data.length; i++) scores.data[i] -= from;
      return scores;
    }
    if (this.how === "threshold") classOf(mean, 0).data.fill(this.threshold);
    return logitsOfMean(mean, "probabilities", "softmax");
  }

  /** The scores [K *S] of the logits of all views, which are overwritten. */
  fused(views: readonly Volume[]): Volume {
    const total = zeros([this.heads, ...views[0].shape.slice(1)]);
    views.forEach((logits, view) => this.add(view, logits, total));
    return this.scores(this.mean(total));
  }

  /** The label export of a vote, of a piece: logits [K *c] of each view. */
  voted(views: readonly Volume[], parts: readonly Part[]): Classes {
    const said = views.map((under) => this.said(under, parts));
    if (said.slice(1).every((one) => one.every((value, i) => value === said[0][i]))) return this.painted(said[0]);
    const total = zeros([this.heads, ...views[0].shape.slice(1)]);
    views.forEach((under, view) => this.add(view, { data: under.data.slice(), shape: under.shape }, total));
    return this.counted(said, this.mean(total), parts);
  }

  /** What a view says in a piece: its classes, or its regions, each a bit. */
  said(under: Volume, parts: readonly Part[]): Classes {
    const voxels = product(parts.map((part) => part.lower.length));
    if (!this.regions[0]) {
      const found = likeliest(under, parts);
      return typeof found === "number" ? new Uint16Array(voxels).fill(found) : found;
    }
    const bits = new Uint32Array(voxels);
    for (const r of range(under.shape[0])) {
      const coarse = classOf(under, r);
      if (!anyAbove(coarse.data)) continue;
      const value = interpolated(coarse, parts);
      for (let i = 0; i < voxels; i++) if (value[i] > 0) bits[i] |= 1 << r;
    }
    return bits;
  }

  /** The class that most views say, of their mean probability the highest of equals; of regions each. */
  counted(said: readonly Classes[], mean: Volume, parts: readonly Part[]): Classes {
    if (!this.regions[0]) return vote(said, mean, parts);
    const bits = new Uint32Array(said[0].length);
    for (const r of range(mean.shape[0])) {
      const masks = said.map((one) => Uint8Array.from(one, (value) => (value >>> r) & 1));
      const p = classOf(mean, r);
      const both = zeros([2, ...p.shape]);
      for (let i = 0; i < p.data.length; i++) both.data[i] = 1 - p.data[i];
      both.data.set(p.data, p.data.length);
      const won = vote(masks, both, parts);
      for (let i = 0; i < bits.length; i++) bits[i] |= won[i] << r;
    }
    return this.painted(bits);
  }

  /** Class indices of what views say. */
  painted(said: Classes): Classes {
    if (!this.regions[0]) return said;
    const classes = new Uint8Array(said.length);
    this.paints.forEach((k, r) => {
      for (let i = 0; i < said.length; i++) if ((said[i] >>> r) & 1) classes[i] = k;
    });
    return classes;
  }
}

/** The class that most label maps name; of equals the one whose mean probability is the highest. */
function vote(said: readonly Classes[], mean: Volume, parts: readonly Part[]): Classes {
  const fused = said[0].slice();
  const at = interpolator(mean, parts);
  for (let i = 0; i < fused.length; i++) {
    if (said.every((one) => one[i] === fused[i])) continue;
    let [winner, best] = [0, -Infinity];
    said.forEach((one, v) => {
      const votes = said.filter((other) => other[i] === one[i]).length;
      const score = votes + at(one[i], i) / 2; // half a probability never outweighs a vote
      if (score > best) [winner, best] = [v, score];
    });
    fused[i] = said[winner][i];
  }
  return fused;
}

/** A function that gives class k of maps on a grid of their own, linearly interpolated at voxel i of the piece. */
function interpolator(maps: Volume, parts: readonly Part[]): (k: number, i: number) => number {
  const shape = parts.map((part) => part.lower.length);
  const coarse = maps.shape.slice(1);
  return (k, i) => {
    const { data } = classOf(maps, k);
    const place = [Math.floor(i / (shape[1] * shape[2])), Math.floor(i / shape[2]) % shape[1], i % shape[2]];
    let found = 0;
    for (let corner = 0; corner < 8; corner++) {
      let share = 1;
      let index = 0;
      parts.forEach((part, axis) => {
        const upper = (corner >> (2 - axis)) & 1;
        const weight = part.weight[place[axis]];
        share = fround(share * (upper ? weight : fround(1 - weight)));
        index = index * coarse[axis] + (upper ? part.upper : part.lower)[place[axis]];
      });
      if (share !== 0) found = fround(found + fround(data[index] * share));
    }
    return found;
  };
}
