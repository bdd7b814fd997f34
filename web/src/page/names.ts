/** How files of scans are called, and what a label map is called: as `distilseg predict` does it. */

const ENDINGS = [".nii.gz", ".nii"];

/** The ending of a scan's file, as written; "" of what is none. */
export function ending(file: string): string {
  const known = ENDINGS.find((one) => file.toLowerCase().endsWith(one));
  return known ? file.slice(file.length - known.length) : "";
}

/** The file's name without the ending: "a_0000" of "a_0000.nii.gz". */
export function stem(file: string): string {
  return file.slice(0, file.length - ending(file).length);
}

/** What the file of a case's label map is called; its ending is that of the first scan, `like`. */
export function labelMapName(name: string, like: string): string {
  return savedName(name) + (ending(like) || ENDINGS[0]);
}

/** A name that every file system takes: what no file may hold becomes _. Good names stay as they are. */
export function savedName(name: string): string {
  const safe = name.replace(/[\\/:*?"<>|\p{Cc}\p{Cf}]/gu, "_").replace(/^[.\-~ ]+|[. ]+$/g, "_");
  return /^(con|prn|aux|nul|com\d|lpt\d)$/i.test(safe) || safe === "" ? `_${safe}` : safe;
}

/** `name`, or where another case has it a longer one: with the folder it lies in, then with a number. */
export function distinct(name: string, folder: string, taken: Iterable<string>): string {
  const others = new Set([...taken].map(folded));
  if (!others.has(folded(name))) return name;
  const inside = folder.split("/").filter(Boolean).at(-1);
  const longer = inside ? `${inside}_${name}` : name;
  let found = longer;
  for (let number = 2; others.has(folded(found)); number += 1) found = `${longer}_${number}`;
  return found;
}

/** What names share that some file systems take for one. */
function folded(name: string): string {
  return savedName(name).normalize("NFC").toLowerCase();
}
