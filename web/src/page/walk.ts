/** Files out of what was dropped, folders included.
 *
 * Browsers have two ways to walk a folder: handles, and the older entries, whose files Chromium refuses to a page
 * opened by a double click. So handles come first. Items are read before anything is awaited: they are gone after.
 */

import type { Found } from "./cases.ts";

export interface Dropped {
  /** Given themselves. */
  files: Found[];
  /** In folders, at any depth. */
  inFolders: Found[];
  /** Folders that the browser would not open. */
  closed: string[];
}

type Handle = FileSystemHandle & { values?: () => AsyncIterable<Handle>; getFile?: () => Promise<File> };
type Item = DataTransferItem & { getAsFileSystemHandle?: () => Promise<Handle | null> };

export async function dropped(items: Iterable<DataTransferItem>): Promise<Dropped> {
  const taken = [...items]
    .filter((item) => item.kind === "file")
    .map((item: Item) => ({
      file: item.getAsFile(),
      entry: item.webkitGetAsEntry(),
      handle: item.webkitGetAsEntry()?.isDirectory ? item.getAsFileSystemHandle?.() : undefined,
    }));
  const told: Dropped = { files: [], inFolders: [], closed: [] };
  for (const { file, entry, handle } of taken) {
    if (!entry?.isDirectory) {
      if (file) told.files.push({ file, folder: "" });
      continue;
    }
    try {
      const opened = await handle?.catch(() => null);
      told.inFolders.push(...(opened ? await ofHandle(opened, "") : await ofEntry(entry, "")));
    } catch {
      told.closed.push(entry.name);
    }
  }
  return told;
}

/** Files of `<input type=file>`, whose paths the browser tells where a folder was chosen. */
export function chosen(files: Iterable<File>): Found[] {
  return [...files].map((file) => ({
    file,
    folder: file.webkitRelativePath.split("/").slice(0, -1).join("/"),
  }));
}

async function ofHandle(handle: Handle, folder: string): Promise<Found[]> {
  if (handle.kind === "file") return [{ file: await handle.getFile!(), folder }];
  const found: Found[] = [];
  for await (const inside of handle.values!())
    found.push(...(await ofHandle(inside, `${folder}/${handle.name}`)));
  return found;
}

async function ofEntry(entry: FileSystemEntry, folder: string): Promise<Found[]> {
  if (entry.isFile) {
    const file = await new Promise<File>((done, fail) => (entry as FileSystemFileEntry).file(done, fail));
    return [{ file, folder }];
  }
  const reader = (entry as FileSystemDirectoryEntry).createReader();
  const found: Found[] = [];
  for (;;) {
    const some = await new Promise<FileSystemEntry[]>((done, fail) => reader.readEntries(done, fail));
    if (some.length === 0) return found;
    for (const inside of some) found.push(...(await ofEntry(inside, `${folder}/${entry.name}`)));
  }
}
