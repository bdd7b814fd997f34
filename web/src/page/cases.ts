/** Files become cases by their names, as `distilseg predict` takes them:
 *
 *     a model of one modality     a.nii.gz is case a; a_0000.nii.gz too, as nnU-Net names it
 *     a model of several          a_0000, a_0001, ... in the order of the modalities, or a_T1, a_FLAIR by their names
 *
 * Nothing is read here. A case that lacks a scan waits for it; a file that cannot be one is told why, in one line.
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
  const cases = modalities.length === 1 ? single(scans, modalities[0], refused) : several(scans, modalities, refused);
  return { cases, refused };
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
    if (modality === null) {
      const example = `${name}_0000 (${modalities[0]}) or ${name}_${modalities[0]}`;
      refused.push({ file: one.file, why: `which of ${modalities.join(", ")} is it? Name it such as ${example}` });
      continue;
    }
    const made = entry(cases, `${one.folder}\n${name}`, () => ({ name, folder: one.folder, files: {}, missing: [] }));
    const other = made.files[modality];
    if (other) refused.push({ file: one.file, why: `${other.name} is ${modality} of ${name} too: keep one of them` });
    else made.files[modality] = one.file;
  }
  for (const one of cases.values()) {
    one.missing = modalities.filter((modality) => !(modality in one.files));
    one.files = Object.fromEntries(modalities.filter((m) => m in one.files).map((m) => [m, one.files[m]]));
  }
  return [...cases.values()];
}

/** The case and the modality that a name tells; null where it does not. */
function told(name: string, modalities: readonly string[]): [string, string | null] {
  const plain = (text: string): string => text.toLowerCase().replaceAll("-", "_");
  for (const modality of [...modalities].sort((one, other) => other.length - one.length)) {
    const suffix = `_${plain(modality)}`;
    if (plain(name).endsWith(suffix) && name.length > suffix.length) return [name.slice(0, -suffix.length), modality];
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
