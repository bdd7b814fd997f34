/** Stands in for `src/worker/client.ts` while the page is looked at: the same promises, a made-up label map.
 *
 * `dev.mjs` builds a page with it. Labels are the bright voxels of three balls in the scan's middle.
 */

import type { Model } from "../../src/model.ts";
import type { Done, Opened, Progress, Volume } from "../../src/worker/messages.ts";

export class Refusal extends Error {
  constructor(
    readonly reason: string,
    readonly fix: string,
  ) {
    super(`${reason}: ${fix}`);
  }
}

export class Cancelled extends Error {}

const asked = new URLSearchParams(location.search);

export function model(): Model {
  if (asked.has("damaged"))
    throw new Refusal("this page is damaged (its model's SHA-256 differs)", "copy it again");
  const told = document.getElementById("model")?.textContent;
  return JSON.parse(told ?? "") as Model;
}

export class Client {
  #cancelled: (() => void) | null = null;

  async open(): Promise<Opened> {
    await pause(300);
    const differ = asked.has("unequal") ? 12 : 0;
    const golden = { equal: differ === 0, voxels: 4096, differ };
    return { kind: "opened", backend: "wasm", why: "", threads: 1, golden, seconds: 1.3 };
  }

  async segment(
    name: string,
    files: Record<string, File>,
    progress: (told: Progress) => void,
  ): Promise<Done> {
    const cancelled = new Promise<never>((_, fail) => (this.#cancelled = () => fail(new Cancelled())));
    const worked = this.#work(name, Object.values(files)[0], progress);
    return Promise.race([worked, cancelled]);
  }

  cancel(): void {
    this.#cancelled?.();
  }

  async #work(name: string, scan: File, progress: (told: Progress) => void): Promise<Done> {
    const slow = Number(asked.get("slow") ?? 1);
    const told = (stage: Progress["stage"], window: number, of: number): void =>
      progress({ kind: "progress", id: 0, stage, window, of });
    told("reading", 0, 0);
    await pause(100 * slow);
    const bytes = await unpacked(scan).catch(() => {
      throw new Refusal(`case ${name}: ${scan.name} is no whole gzip file`, "copy it again");
    });
    const view = new DataView(bytes.buffer);
    if (bytes.length < 352 || view.getInt32(0, true) !== 348)
      throw new Refusal(`case ${name}: ${scan.name} is no NIfTI file`, "give a scan");
    const dim = (at: number): number => view.getInt16(40 + 2 * at, true);
    if (dim(0) > 3 && dim(4) > 1)
      throw new Refusal(`case ${name}: ${scan.name} has 4 dimensions`, "give 3D scans");
    for (let window = 1; window <= 8; window += 1) {
      await pause(100 * slow);
      told("network", window, 8);
    }
    const shape: [number, number, number] = [dim(1), dim(2), dim(3)];
    const spacing: [number, number, number] = [1, 2, 3].map((at) => view.getFloat32(76 + 4 * at, true)) as [
      number,
      number,
      number,
    ];
    const affine = [0, 1, 2].map((row) =>
      [0, 1, 2, 3].map((at) => view.getFloat32(280 + 16 * row + 4 * at, true)),
    );
    const labels = balls(shape);
    const header = bytes.slice(0, 352);
    const out = new DataView(header.buffer);
    out.setInt16(70, 2, true);
    out.setInt16(72, 8, true);
    out.setFloat32(108, 352, true);
    out.setFloat32(112, 1, true);
    out.setFloat32(116, 0, true);
    const file = await packed(header, labels);
    const ml = spacing.reduce((product, mm) => product * mm, 1) / 1000;
    const volumes = model()
      .labels.filter(({ value }) => value > 0)
      .map(({ value, name }): Volume => {
        const voxels = labels.reduce((sum, label) => sum + Number(label === value), 0);
        return { value, name, voxels, ml: voxels * ml };
      });
    return { kind: "done", id: 0, file, shape, spacing_mm: spacing, affine, volumes, seconds: 0.9 * slow };
  }
}

function balls([ni, nj, nk]: readonly number[]): Uint8Array<ArrayBuffer> {
  const labels = new Uint8Array(ni * nj * nk);
  const centres = [
    [0.4, 0.35, 0.5, 1],
    [0.6, 0.6, 0.5, 2],
    [0.35, 0.7, 0.4, 3],
  ];
  for (let k = 0, at = 0; k < nk; k += 1)
    for (let j = 0; j < nj; j += 1)
      for (let i = 0; i < ni; i += 1, at += 1)
        for (const [x, y, z, value] of centres)
          if ((i - x * ni) ** 2 + (j - y * nj) ** 2 + (k - z * nk) ** 2 < (0.16 * ni) ** 2)
            labels[at] = value;
  return labels;
}

async function unpacked(file: File): Promise<Uint8Array<ArrayBuffer>> {
  const start = new Uint8Array(await file.slice(0, 2).arrayBuffer());
  const gz = start[0] === 0x1f && start[1] === 0x8b;
  const stream = gz ? file.stream().pipeThrough(new DecompressionStream("gzip")) : file.stream();
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

async function packed(...parts: Uint8Array<ArrayBuffer>[]): Promise<Uint8Array> {
  const stream = new Blob(parts).stream().pipeThrough(new CompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

function pause(ms: number): Promise<void> {
  return new Promise((done) => setTimeout(done, ms));
}
