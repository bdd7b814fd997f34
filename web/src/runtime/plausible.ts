/** Which grids can be a scan of a body. Mirrors `data/scans/plausible.py`, where the rules are explained. */

import type { Header, Scan } from "../formats/scan.ts";
import { Refusal } from "../refusal.ts";
import { columnLengths, type Matrix } from "./axes.ts";
import { product } from "./numbers.ts";

const SPACING_MM = [1e-4, 100];
const SAME = 0.01;
const UPRIGHT = 1e-4;
const TRUE_SIZE = "write the true voxel size into the header";

/** Throws where the grid of a file cannot be that of a body. */
export function checkPlausible(name: string, header: Header): void {
  const { affine, statedMm } = header;
  if (!affine.flat().every(Number.isFinite))
    throw new Refusal(`the affine of ${name} holds NaN or infinite numbers`, TRUE_SIZE);
  const shape = [...header.shape, 1, 1].slice(0, 3);
  const spacingMm = columnLengths(affine);
  const [least, most] = SPACING_MM;
  if (Math.min(...spacingMm) <= 0 || spacingMm.some((mm, axis) => shape[axis] > 1 && !(least <= mm && mm <= most)))
    throw new Refusal(`${name} has the spacing ${numbers(spacingMm)} mm, 0.0001 to 100 mm were expected`, TRUE_SIZE);
  if (statedMm.some((mm) => !(0 < mm && mm < Infinity)))
    throw new Refusal(`${name} has the voxel size (pixdim) ${numbers(statedMm)}`, TRUE_SIZE);
  const volume = Math.abs(determinant(affine));
  if (volume < 1e-6 * product(spacingMm))
    throw new Refusal(`two axes of ${name} point the same way`, "correct its affine");
  if (volume < (1 - UPRIGHT) * product(spacingMm))
    throw new Refusal(
      `the affine of ${name} is sheared: its axes lean towards each other (a gantry tilt?), so that distances in mm are wrong`,
      "resample it to a grid with right angles",
    );
  const layersMm = layers(affine);
  const agrees = (mm: number, axis: number): boolean =>
    [spacingMm, layersMm].some((of) => Math.abs(mm - of[axis]) <= SAME * Math.abs(of[axis]));
  if (!statedMm.every(agrees))
    throw new Refusal(
      `${name} states two voxel sizes: ${numbers(statedMm)} mm as spacing (pixdim) and` +
        ` ${numbers(spacingMm.slice(0, statedMm.length))} mm by its affine (sform)`,
      "find out which is true and correct the other",
    );
}

/** All scans must have one shape, and agree within a voxel on where their voxels are. */
export function checkSameGrid(scans: ReadonlyMap<string, Scan>, what: string): void {
  const [[first, reference], ...others] = scans;
  const { shape, header } = reference;
  for (const [name, scan] of others) {
    if (scan.shape.some((size, axis) => size !== shape[axis]))
      throw new Refusal(
        `case ${what}: ${name} has ${scan.shape.join(" x ")} voxels, ${first} ${shape.join(" x ")}`,
        "resample them to one grid first",
      );
    let apartMm = 0;
    for (const i of [0, shape[0] - 1])
      for (const j of [0, shape[1] - 1])
        for (const k of [0, shape[2] - 1]) {
          const apart = [0, 1, 2].map((row) => {
            const [a, b] = [scan.header.affine[row], header.affine[row]];
            return i * (a[0] - b[0]) + j * (a[1] - b[1]) + k * (a[2] - b[2]) + (a[3] - b[3]);
          });
          apartMm = Math.max(apartMm, Math.sqrt(apart.reduce((sum, mm) => sum + mm * mm, 0)));
        }
    if (!(apartMm <= Math.max(...columnLengths(header.affine))))
      throw new Refusal(
        `case ${what}: the headers of ${name} and ${first} put the same voxel ${apartMm.toFixed(1)} mm apart`,
        "correct the header that is wrong",
      );
  }
}

/** Volume of a voxel, mm³, signed. */
export function determinant(m: Matrix): number {
  return (
    m[0][0] * (m[1][1] * m[2][2] - m[1][2] * m[2][1]) -
    m[0][1] * (m[1][0] * m[2][2] - m[1][2] * m[2][0]) +
    m[0][2] * (m[1][0] * m[2][1] - m[1][1] * m[2][0])
  );
}

/** Heights of a voxel's layers: 1 / length of the rows of the inverse. */
function layers(m: Matrix): number[] {
  const volume = Math.abs(determinant(m));
  return [0, 1, 2].map((axis) => {
    const [a, b] = [0, 1, 2].filter((n) => n !== axis).map((n) => [m[0][n], m[1][n], m[2][n]]);
    const area = [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
    return volume / Math.sqrt(area.reduce((sum, x) => sum + x * x, 0));
  });
}

function numbers(values: readonly number[]): string {
  return values.map((value) => String(Number(value.toPrecision(6)))).join(", ");
}
