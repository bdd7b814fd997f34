/** Files become cases by their names, as `distilseg predict` takes them:
 *
 *     a model of one modality     a.nii.gz is case a; a_0000.nii.gz too, as nnU-Net names it
 *     a model of several          a_0000, a_0001, ... in the order of the modalities, or a_T1, a_FLAIR by their names
 *
 * Nothing is read here. A case that lacks a scan waits for it; of a file whose name does not say which scan it is a
 * person is asked; one that cannot be a scan is told why, in one line.
 */

import { ending, stem } from "./names.ts";

/** A file that a person gave. `folder` is where it lay, "" where the browser does not say. */
export interface Found {
  file: File;
  folder: string;
}

export interface Case {
  name: string;
  folder: string;
  /** By modality; those that `missing` names are not there. */
  files: Record<string, File>;
  missing: string[];
}

export interface Refused {
  file: File;
  why: string;
}

export interface Grouped {
  cases: Case[];
  /** Scans of unknown modality. */
  unsure: Found[];
  refused: Refused[];
}

/** The scans among files of folders: without hidden files, other files, and folders that are called labels. */
export function scansIn(found: readonly Found[]): { scans: Found[]; others: number } {
  const wanted = ({ file, folder }: Found): boolean =>
    ending(file.name) !== "" &&
    !file.name.startsWith(".") &&
    !folder.split("/").some((part) => part.startsWith(".") || /^labels/i.test(part));
  const scans = found.filter(wanted);
  return { scans, others: found.length - scans.length };
}

/** The cases in `found`, and why other files are in none. */
export function grouped(found: readonly Found[], modalities: readonly string[]): Grouped {
  const refused: Refused[] = [];
  const scans = found.filter(({ file }) => {
    const why = unreadable(file);
    if (why) refused.push({ file, why });
    return why === "";
  });
  if (modalities.length === 1) return { cases: single(scans, modalities[0], refused), unsure: [], refused };
  const unsure = scans.filter(({ file }) => told(stem(file.name), modalities)[1] === null);
  const sure = scans.filter((one) => !unsure.includes(one));
  return { cases: several(sure, modalities, refused), unsure, refused };
}

function unreadable({ name, size }: File): string {
  if (/\.(nrrd|mha|mhd|dcm|ima)$/i.test(name)) {
    return "this page reads NIfTI: convert it (dcm2niix, 3D Slicer), or use distilseg predict";
  }
  if (ending(name) === "") return "this is no scan: NIfTI files end in .nii or .nii.gz";
  return size === 0 ? "the file is empty: copy it again" : "";
}

/** One scan a case. Without a _0000 among them, numbers count cases: scan_0001, scan_0002. */
function single(scans: readonly Found[], modality: string, refused: Refused[]): Case[] {
  const groups = new Map<string, Map<number | null, Found>>();
  for (const one of scans) {
    const [name, number] = numbered(stem(one.file.name));
    const group = entry(groups, `${one.folder}\n${name}`, () => new Map<number | null, Found>());
    const other = group.get(number);
    if (other) refused.push({ file: one.file, why: `${other.file.name} is the same case: keep one of them` });
    else group.set(number, one);
  }
  const whole = (name: string, one: Found): Case => {
    return { name, folder: one.folder, files: { [modality]: one.file }, missing: [] };
  };
  const cases: Case[] = [];
  for (const [key, group] of groups) {
    const name = key.slice(key.indexOf("\n") + 1);
    const all = [...group.values()];
    if (!group.has(0) && !group.has(null)) cases.push(...all.map((one) => whole(stem(one.file.name), one)));
    else if (group.size === 1) cases.push(whole(name, all[0]));
    else {
      const others = all.map((one) => one.file.name).join(", ");
      const why = `the model takes one scan a case (${modality}), and ${others} are all of ${name}: leave one`;
      refused.push(...all.map((one) => ({ file: one.file, why })));
    }
  }
  return cases;
}

function several(scans: readonly Found[], modalities: readonly string[], refused: Refused[]): Case[] {
  const cases = new Map<string, Case>();
  for (const one of scans) {
    const [name, modality] = told(stem(one.file.name), modalities);
    if (modality === null) continue;
    const made = entry(cases, `${one.folder}\n${name}`, () => ({
      name,
      folder: one.folder,
      files: Object.create(null) as Record<string, File>,
      missing: [],
    }));
    if (Object.hasOwn(made.files, modality)) {
      const other = made.files[modality];
      refused.push({ file: one.file, why: `${other.name} is ${modality} of ${name} too: keep one of them` });
    } else made.files[modality] = one.file;
  }
  return [...cases.values()].map((one) => ordered(one, modalities));
}

/** The case with its files in the order of the modalities, and those that it lacks. */
export function ordered({ name, folder, files }: Case, modalities: readonly string[]): Case {
  const here = modalities.filter((modality) => Object.hasOwn(files, modality));
  const missing = modalities.filter((modality) => !Object.hasOwn(files, modality));
  return {
    name,
    folder,
    files: Object.fromEntries(here.map((modality) => [modality, files[modality]])),
    missing,
  };
}

/** Of names the one that begins most like `name`; the first of equals, null of none. */
export function likest<T extends { name: string }>(name: string, others: readonly T[]): T | null {
  const shared = (other: string): number => {
    let length = 0;
    while (length < name.length && name[length] === other[length]) length += 1;
    return length;
  };
  return others.reduce<T | null>(
    (best, one) => (best && shared(best.name) >= shared(one.name) ? best : one),
    null,
  );
}

/** The case and the modality that a name tells; null where it does not. */
function told(name: string, modalities: readonly string[]): [string, string | null] {
  const plain = (text: string): string => text.toLowerCase().replaceAll("-", "_");
  for (const modality of [...modalities].sort((one, other) => other.length - one.length)) {
    const suffix = `_${plain(modality)}`;
    if (plain(name).endsWith(suffix) && name.length > suffix.length)
      return [name.slice(0, -suffix.length), modality];
  }
  const [base, number] = numbered(name);
  return number !== null && number < modalities.length ? [base, modalities[number]] : [name, null];
}

/** "a_0001" is ["a", 1], "a" is ["a", null]. */
function numbered(name: string): [string, number | null] {
  const match = /^(.+)_(\d{4})$/s.exec(name);
  return match ? [match[1], Number(match[2])] : [name, null];
}

function entry<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  const there = map.get(key);
  if (there !== undefined) return there;
  const made = make();
  map.set(key, made);
  return made;
}
