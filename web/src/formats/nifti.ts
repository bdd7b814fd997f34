/** NIfTI files, packed or not: read once and in their stored type, and written as label maps. Mirrors
 * `data/scans/nifti.py`. */

import { Refusal } from "../refusal.ts";
import type { Classes } from "../runtime/label_export.ts";
import { checkSize } from "../runtime/limits.ts";
import { fround, product } from "../runtime/numbers.ts";
import { checkPlausible } from "../runtime/plausible.ts";
import { gzip, isGzip, Reading } from "./gzip.ts";
import { inflated } from "./inflate.ts";
import { headerLike, headerOf, SIZE_2, type NiftiHeader, type Stored } from "./nifti_header.ts";
import type { Scan, Values } from "./scan.ts";

const BEHIND = 2 ** 20; // bytes that may follow packed voxels
const AGAIN = "copy or export the file again";

export interface NiftiScan extends Scan {
  header: NiftiHeader;
}

/** The scan in a file, whose header is looked at before any voxel is unpacked. */
export async function readNifti(file: File): Promise<NiftiScan> {
  const { name } = file;
  if (!/\.nii(\.gz)?$/i.test(name))
    throw new Refusal(`${name} has no image ending that is known here`, "give .nii or .nii.gz");
  const packed = await isGzip(file);
  try {
    return await readFrom(name, new Reading(file, packed), file.size, packed);
  } catch (error) {
    if (error instanceof Refusal || error instanceof RangeError) throw error;
    if (packed) return readMembers(name, new Uint8Array(await file.arrayBuffer()));
    throw new Refusal(`${name} cannot be read (${told(error)})`, AGAIN);
  }
}

async function readFrom(name: string, reading: Reading, size: number, packed: boolean): Promise<NiftiScan> {
  try {
    const first = new Uint8Array(SIZE_2);
    const begun = first.subarray(0, await reading.fill(first));
    const header = headerOf(name, begun);
    checkSize(name, header, size, packed);
    const shape = spaceOf(name, header);
    checkPlausible(name, header);
    return { name, values: await voxels(name, reading, begun, header, packed), shape, header };
  } finally {
    await reading.end();
  }
}

/** Of a gzip file that the browser's own stream gave up: several members, zeros behind, or damage. */
function readMembers(name: string, content: Uint8Array): Promise<NiftiScan> {
  const unpacked = (most: number): Uint8Array => {
    try {
      return inflated(content, most);
    } catch (error) {
      throw new Refusal(`${name} ends too early or is damaged (${told(error)})`, AGAIN);
    }
  };
  const header = headerOf(name, unpacked(SIZE_2));
  checkSize(name, header, content.length, true);
  const whole = unpacked(header.offset + product(header.shape) * header.valueBytes + BEHIND + 1);
  return readFrom(name, new Reading(new Blob([whole as BlobPart]), false), content.length, true);
}

/** Three axes; a slice is one voxel thick. */
function spaceOf(name: string, header: NiftiHeader): [number, number, number] {
  const { shape } = header;
  if (shape.length === 2) return [shape[0], shape[1], 1];
  if (shape.length === 3) return [shape[0], shape[1], shape[2]];
  const fix = shape.length > 3 ? "store one volume per file" : "stack the rows of the case into one image";
  throw new Refusal(`${name} is ${shape.length}D [${shape.join(", ")}], a 3D array was expected`, fix);
}

async function voxels(
  name: string,
  reading: Reading,
  begun: Uint8Array,
  header: NiftiHeader,
  packed: boolean,
): Promise<Values> {
  const count = product(header.shape);
  const content = new Uint8Array(count * header.valueBytes);
  const known = begun.subarray(Math.min(header.offset, begun.length)).subarray(0, content.length);
  content.set(known);
  await reading.skip(Math.max(0, header.offset - begun.length));
  const held = known.length + (await reading.fill(content.subarray(known.length)));
  if (held === 0) throw new Refusal(`${name} holds a header and no voxels`, AGAIN);
  if (held < content.length) throw new Refusal(`${name} holds ${held} of ${content.length} bytes of voxels`, AGAIN);
  if (packed && (await reading.skip(BEHIND + 1)) > BEHIND)
    throw new Refusal(
      `${name} holds far more than the ${count} voxels of its header`,
      "correct the header, or export the file again",
    );
  if (!header.littleEndian) swap(content, header.valueBytes);
  return scaled(typed(header.type, content.buffer), header);
}

function typed(type: string, buffer: ArrayBuffer): Values {
  switch (type) {
    case "uint8":
      return new Uint8Array(buffer);
    case "int8":
      return new Int8Array(buffer);
    case "uint16":
      return new Uint16Array(buffer);
    case "int16":
      return new Int16Array(buffer);
    case "uint32":
      return new Uint32Array(buffer);
    case "int32":
      return new Int32Array(buffer);
    case "float32":
      return new Float32Array(buffer);
    case "float64":
      return new Float64Array(buffer);
    case "int64":
      return new BigInt64Array(buffer);
    default:
      return new BigUint64Array(buffer);
  }
}

function swap(content: Uint8Array, size: number): void {
  for (let n = 0; n < content.length; n += size) content.subarray(n, n + size).reverse();
}

/** Intensities as the header scales them, in 32-bit floats of small types. */
function scaled(values: Values, header: NiftiHeader): Values {
  const { slope, inter } = header;
  if (slope === 1 && inter === 0) return values;
  if (header.valueBytes <= 2 || header.type === "float32") {
    const found = Float32Array.from(values as ArrayLike<number>);
    const [by, plus] = [fround(slope), fround(inter)];
    for (let i = 0; i < found.length; i++) found[i] = fround(found[i] * by) + plus;
    return found;
  }
  const found = new Float64Array(values.length);
  for (let i = 0; i < found.length; i++) found[i] = Number(values[i]) * slope + inter;
  return found;
}

/** A label map as `distilseg predict` writes it in the space of a scan: the gzip'd file. */
export function labelFile(labels: Classes, like: NiftiScan): Promise<Uint8Array> {
  return gzip(written(narrowed(labels), like));
}

/** The scan in a file, in a file that any viewer reads as this page does: what is drawn is what was segmented. */
export async function plainScan(file: File): Promise<File> {
  const scan = await readNifti(file);
  return new File([written(plain(scan.values), scan) as BlobPart], "scan.nii");
}

/** An array as an unpacked file in the space of a scan. */
function written(array: Stored, { header, shape }: NiftiScan): Uint8Array {
  const first = headerLike(header, header.axes === 2 ? shape.slice(0, 2) : shape, array);
  const file = new Uint8Array(first.length + array.byteLength);
  file.set(first);
  file.set(new Uint8Array(array.buffer, array.byteOffset, array.byteLength), first.length);
  return file;
}

/** Of types that every viewer knows; others as 32-bit floats. */
function plain(values: Values): Stored {
  if (values instanceof BigInt64Array || values instanceof BigUint64Array) return Float32Array.from(values, Number);
  const known = [Uint8Array, Int16Array, Uint16Array, Float32Array].some((type) => values instanceof type);
  return known ? (values as Stored) : new Float32Array(values);
}

/** In the smallest unsigned type that holds the values. */
function narrowed(labels: Classes): Classes {
  let highest = 0;
  for (let i = 0; i < labels.length; i++) if (labels[i] > highest) highest = labels[i];
  const bytes = highest < 256 ? 1 : highest < 65536 ? 2 : 4;
  if (bytes === labels.BYTES_PER_ELEMENT) return labels;
  return bytes === 1 ? Uint8Array.from(labels) : Uint16Array.from(labels);
}

function told(error: unknown): string {
  return error instanceof Error ? error.message.split("\n")[0] : String(error);
}
