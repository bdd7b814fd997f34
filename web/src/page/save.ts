/** Files that the page makes, into the browser's downloads. Nothing is asked of a network: their addresses are blobs. */

import type { Label } from "../model.ts";
import { csv } from "./csv.ts";
import { el } from "./dom.ts";
import { ending, labelMapName } from "./names.ts";
import type { Row, Rows } from "./state.ts";
import { zip, type Member } from "./zip.ts";

const VOLUMES = "volumes.csv"; // no label map is called so: these end in .nii
const KEPT_MS = 60_000; // how long a download may take to begin

/** One label map, as `distilseg predict` would name it: after the scan of the first modality. */
export async function saveLabelMap(row: Row, modality: string): Promise<void> {
  const { name, bytes } = await member(row, modality);
  save(name, new Blob([bytes as Uint8Array<ArrayBuffer>], { type: "application/octet-stream" }));
}

/** All label maps and the table of volumes in one zip. */
export async function saveAll(
  rows: Rows,
  labels: readonly Label[],
  digest: string,
  name: string,
): Promise<void> {
  const maps = await Promise.all(rows.of("done").map((row) => member(row, rows.modalities[0])));
  const table = new TextEncoder().encode(tableOf(rows, labels, digest));
  save(`${name}.zip`, zip([...maps, { name: VOLUMES, bytes: table }], new Date()));
}

export function saveVolumes(rows: Rows, labels: readonly Label[], digest: string): void {
  save(VOLUMES, new Blob([tableOf(rows, labels, digest)], { type: "text/csv" }));
}

function tableOf(rows: Rows, labels: readonly Label[], digest: string): string {
  const settled = rows.all.filter(({ status }) => status.kind === "done" || status.kind === "refused");
  const lines = settled.map(({ name, status }) => ({
    name,
    volumes: status.kind === "done" ? status.done.volumes : null,
    seconds: status.kind === "done" ? status.done.seconds : null,
    problem: status.kind === "refused" ? status.why : "",
  }));
  return csv(lines, labels, digest);
}

/** The file of a row that is done: packed if its scan of the first modality was. */
async function member({ name, files, status }: Row, modality: string): Promise<Member> {
  if (status.kind !== "done") throw new Error(`${name} has no label map`);
  const like = files[modality].name;
  const packed = status.done.file;
  const bytes = ending(like).toLowerCase() === ".nii" ? await unpacked(packed) : packed;
  return { name: labelMapName(name, like), bytes };
}

async function unpacked(packed: Uint8Array): Promise<Uint8Array> {
  const stream = new Blob([packed as Uint8Array<ArrayBuffer>])
    .stream()
    .pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

function save(name: string, content: Blob): void {
  const address = URL.createObjectURL(content);
  const link = el("a", { href: address, download: name, hidden: true });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(address), KEPT_MS);
}
