/** Where to look first: a voxel that surely lies in a structure, near its middle. */

/** For each wanted value that occurs, the voxel [i, j, k] of it that is nearest to the mean of all of its voxels. */
export function middles(
  labels_IJK: ArrayLike<number>,
  [ni, nj, nk]: readonly [number, number, number],
): Map<number, [number, number, number]> {
  const sums = new Map<number, { n: number; i: number; j: number; k: number }>();
  forEachVoxel(labels_IJK, ni, nj, nk, (value, i, j, k) => {
    let sum = sums.get(value);
    if (!sum) sums.set(value, (sum = { n: 0, i: 0, j: 0, k: 0 }));
    sum.n += 1;
    sum.i += i;
    sum.j += j;
    sum.k += k;
  });
  const best = new Map<number, { far: number; at: [number, number, number] }>();
  forEachVoxel(labels_IJK, ni, nj, nk, (value, i, j, k) => {
    const { n, ...sum } = sums.get(value)!;
    const far = (i - sum.i / n) ** 2 + (j - sum.j / n) ** 2 + (k - sum.k / n) ** 2;
    const found = best.get(value);
    if (!found || far < found.far) best.set(value, { far, at: [i, j, k] });
  });
  return new Map([...best].map(([value, { at }]) => [value, at]));
}

/** The first axis runs fastest, as in NIfTI; the background is passed over. */
function forEachVoxel(
  labels: ArrayLike<number>,
  ni: number,
  nj: number,
  nk: number,
  act: (value: number, i: number, j: number, k: number) => void,
): void {
  let at = 0;
  for (let k = 0; k < nk; k += 1) {
    for (let j = 0; j < nj; j += 1) {
      for (let i = 0; i < ni; i += 1, at += 1) {
        if (labels[at] !== 0) act(labels[at], i, j, k);
      }
    }
  }
}

/** Voxel -> millimetres, RAS. */
export function millimetres(
  affine: readonly (readonly number[])[],
  [i, j, k]: readonly number[],
): [number, number, number] {
  const along = (axis: number): number =>
    affine[axis][0] * i + affine[axis][1] * j + affine[axis][2] * k + affine[axis][3];
  return [along(0), along(1), along(2)];
}
