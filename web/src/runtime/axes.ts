/** Which way the axes of a grid run in the patient. Mirrors `data/scans/axes.py`; the decomposition of a 3 x 3 matrix
 * is by Jacobi's rotations of its columns. */

export type Matrix = readonly (readonly number[])[];

/** For each voxel axis, which of R A S (0, 1, 2) it runs along, and whether towards it; null of spacing zero. */
export function axesAlong(affine: Matrix): ({ ras: number; towards: boolean } | null)[] {
  const rotation = nearestRotation(affine);
  const found: ({ ras: number; towards: boolean } | null)[] = [null, null, null];
  const nearness = [0, 1, 2].map((axis) => Math.min(...rotation.map((row) => -(row[axis] ** 2))));
  const order = [0, 1, 2].sort((a, b) => nearness[a] - nearness[b]); // stable
  for (const axis of order) {
    const along = rotation.map((row) => row[axis]);
    if (along.every((value) => Math.abs(value) <= 1e-8)) continue;
    let ras = 0;
    for (const n of [1, 2]) if (Math.abs(along[n]) > Math.abs(along[ras])) ras = n;
    found[axis] = { ras, towards: along[ras] >= 0 };
    rotation[ras] = [0, 0, 0]; // taken
  }
  return found;
}

/** U V' of the affine's unit columns U S V', without directions that have no extent. */
function nearestRotation(affine: Matrix): number[][] {
  const lengths = columnLengths(affine);
  const columns = [0, 1, 2].map((c) => [0, 1, 2].map((r) => affine[r][c] / (lengths[c] === 0 ? 1 : lengths[c])));
  const right = [[1, 0, 0], [0, 1, 0], [0, 0, 1]]; // columns of V
  for (let sweep = 0; sweep < 60; sweep++) {
    let turned = 0;
    for (const [p, q] of [[0, 1], [0, 2], [1, 2]]) {
      const alpha = dot(columns[p], columns[p]);
      const beta = dot(columns[q], columns[q]);
      const gamma = dot(columns[p], columns[q]);
      if (Math.abs(gamma) <= 1e-17 * Math.sqrt(alpha * beta) || gamma === 0) continue;
      turned = Math.max(turned, Math.abs(gamma));
      const zeta = (beta - alpha) / (2 * gamma);
      const t = (zeta >= 0 ? 1 : -1) / (Math.abs(zeta) + Math.sqrt(1 + zeta * zeta));
      const c = 1 / Math.sqrt(1 + t * t);
      for (const of of [columns, right])
        for (let r = 0; r < 3; r++) {
          const [x, y] = [of[p][r], of[q][r]];
          of[p][r] = c * x - c * t * y;
          of[q][r] = c * t * x + c * y;
        }
    }
    if (turned < 1e-16) break;
  }
  const sizes = columns.map((column) => Math.sqrt(dot(column, column)));
  const least = Math.max(...sizes) * 3 * 2.220446049250313e-16;
  const rotation = [[0, 0, 0], [0, 0, 0], [0, 0, 0]];
  for (let n = 0; n < 3; n++)
    if (sizes[n] > least)
      for (let r = 0; r < 3; r++)
        for (let c = 0; c < 3; c++) rotation[r][c] += (columns[n][r] / sizes[n]) * right[n][c];
  return rotation;
}

/** Millimetres between voxels along each axis. */
export function columnLengths(affine: Matrix): number[] {
  return [0, 1, 2].map((c) => {
    const [x, y, z] = [affine[0][c], affine[1][c], affine[2][c]];
    return Math.sqrt(x * x + y * y + z * z);
  });
}

function dot(one: readonly number[], other: readonly number[]): number {
  return one[0] * other[0] + one[1] * other[1] + one[2] * other[2];
}

/** For each axis of `orientation`, such as "LPS", which of R A S (0, 1, 2) it runs along. */
export function axisOrder(orientation: string): number[] {
  return [...orientation].map((letter) => "RASLPI".indexOf(letter) % 3);
}
