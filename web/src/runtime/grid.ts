/** Where the voxels of a case lie before and after it is prepared, and the way back. Mirrors
 * `data/preparing/grid.py`: original grid, cropped grid (turned and cut, exact), working grid (resampled). */

import type { Scan } from "../formats/scan.ts";
import type { Plan } from "../model.ts";
import { Refusal } from "../refusal.ts";
import { axesAlong, axisOrder, columnLengths, type Matrix } from "./axes.ts";
import { product, round, type Shape } from "./numbers.ts";
import { extents, type Box } from "./volume.ts";

export class Grid {
  constructor(
    readonly originalShape: Shape,
    readonly affine: Matrix,
    /** Oriented axis a is the original axis order[a]. */
    readonly order: Shape,
    /** Whether oriented axis a runs against it. */
    readonly flipped: readonly boolean[],
    /** The crop, in oriented voxels. */
    readonly box: Box,
    readonly workingShape: Shape,
  ) {}

  get orientedShape(): Shape {
    return this.order.map((axis) => this.originalShape[axis]);
  }

  get croppedShape(): Shape {
    return extents(this.box);
  }

  get croppedSpacingMm(): Shape {
    const lengths = columnLengths(this.affine);
    return this.order.map((axis) => lengths[axis]);
  }

  /** Where voxel (d, h, w) of the cropped grid lies among the stored ones: start + d s[0] + h s[1] + w s[2]. */
  get cropped(): { start: number; strides: Shape } {
    return this.placed(this.box);
  }

  placed(box: Box): { start: number; strides: Shape } {
    const stored = [1, this.originalShape[0], this.originalShape[0] * this.originalShape[1]];
    let start = 0;
    const strides = this.order.map((axis, a) => {
      const first = this.flipped[a] ? this.originalShape[axis] - 1 - box[a][0] : box[a][0];
      start += first * stored[axis];
      return this.flipped[a] ? -stored[axis] : stored[axis];
    });
    return { start, strides };
  }
}

/** Where the plan puts the voxels of scans that share one grid. */
export function makeGrid(scans: readonly Scan[], plan: Plan, what: string): Grid {
  const { shape, header, name } = scans[0];
  const stored = axesAlong(header.affine);
  if (stored.some((axis) => axis === null))
    throw new Refusal(`case ${what}: ${name} has an axis of spacing zero`, "repair its header's affine");
  const along = stored.map((axis) => axis!.ras);
  const order = axisOrder(plan.orientation).map((ras) => along.indexOf(ras));
  const flipped = order.map((axis, a) => stored[axis]!.towards !== "RAS".includes(plan.orientation[a]));
  const all = order.map((axis) => [0, shape[axis]] as const);
  const turned = new Grid(shape, header.affine, order, flipped, all, []);
  const box =
    plan.crop === "nonzero"
      ? nonzeroBox(scans, turned)
      : plan.crop_voxels !== undefined
        ? centreBox(all, plan.crop_voxels)
        : all;
  const spacingMm = turned.croppedSpacingMm;
  const working = extents(box).map((n, a) => {
    const m = Math.max(1, round((n * spacingMm[a]) / plan.spacing_mm[a]));
    // Across a single slice there is nothing to interpolate, however thick it is.
    return shape[order[a]] === 1 ? 1 : m;
  });
  return new Grid(shape, header.affine, order, flipped, box, working);
}

/** The middle `voxels` along each axis, or all where there are fewer. */
function centreBox(whole: Box, voxels: Shape): Box {
  return whole.map(([, stop], axis) => {
    const n = Math.min(stop, voxels[axis]);
    const start = Math.floor((stop - n) / 2);
    return [start, start + n] as const;
  });
}

/** The smallest box around every voxel at which any image is not zero; the whole, if there is none. */
function nonzeroBox(scans: readonly Scan[], turned: Grid): Box {
  const shape = turned.originalShape;
  const first = [...shape];
  const last = [-1, -1, -1];
  for (const { values } of scans)
    for (let k = 0, n = 0; k < shape[2]; k++)
      for (let j = 0; j < shape[1]; j++)
        for (let i = 0; i < shape[0]; i++, n++)
          if (values[n] != 0) {
            if (i < first[0]) first[0] = i;
            if (i > last[0]) last[0] = i;
            if (j < first[1]) first[1] = j;
            if (j > last[1]) last[1] = j;
            if (k < first[2]) first[2] = k;
            if (k > last[2]) last[2] = k;
          }
  if (last[0] < 0) return turned.box;
  return turned.order.map((axis, a) => {
    const n = shape[axis];
    const side = [first[axis], last[axis] + 1] as const;
    return turned.flipped[a] ? ([n - side[1], n - side[0]] as const) : side;
  });
}

/** Voxels of the scan, and of what it is resampled to: for limits. */
export function voxelsOf(grid: Grid): { original: number; cropped: number; working: number } {
  return {
    original: product(grid.originalShape),
    cropped: product(grid.croppedShape),
    working: product(grid.workingShape),
  };
}
