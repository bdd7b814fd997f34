/** The worker as the page sees it: promises instead of messages, a fresh worker after a cancel.
 *
 *     const client = new Client();
 *     const opened = await client.open();                  // or throws Refusal: say it, there is no model then
 *     const done = await client.segment(name, files, progress => ...);     // throws Refusal, or Cancelled
 *     client.cancel();                                     // ends what runs now; what waits is not lost
 */

import type { Model } from "../model.ts";
import { Refusal } from "../refusal.ts";
import { damaged, holds, modelHere, partOf, placeOf } from "./embedded.ts";
import type { Done, Open, Opened, Progress, Reply, Request } from "./messages.ts";
import { sha256 } from "./sha256.ts";

export { Refusal };

/** The person ended it. */
export class Cancelled extends Error {}

/** The model that this page is; throws Refusal where the page is damaged. Cheap: call it first. */
export function model(): Model {
  document.getElementById("unstarted")?.remove(); // what stands there where scripts do not run
  return modelHere();
}

export class Client {
  private parts: Promise<Parts> | null = null;
  private why = ""; // not the faster backend
  private started: Promise<Worker> | null = null;
  private running: { worker: Worker; cancel: () => void } | null = null;
  private before: Promise<unknown> = Promise.resolve();
  private last = 0;

  /** Starts the worker: digests, compiling, golden case. Some seconds. */
  async open(): Promise<Opened> {
    const parts = await (this.parts ??= partsOf(model()));
    if (parts.fast !== null) {
      try {
        return await this.opened(parts.fast);
      } catch (error) {
        this.why = error instanceof Refusal ? error.reason : String(error);
        parts.fast = null;
      }
    }
    return { ...(await this.opened(parts.sure)), why: this.why };
  }

  private async opened({ script, open }: Start): Promise<Opened> {
    const worker = new Worker(script, typeof script === "string" ? {} : { type: "module" });
    try {
      const opened = (await reply(worker, open, (told) => told.kind === "opened")) as Opened;
      this.started = Promise.resolve(worker);
      return opened;
    } catch (error) {
      worker.terminate();
      throw error;
    }
  }

  /** Segments one case; calls wait for those before. `files` holds every modality of the model. */
  segment(name: string, files: Record<string, File>, progress: (told: Progress) => void): Promise<Done> {
    const done = this.before.then(() => this.segmented(name, files, progress));
    this.before = done.catch(() => undefined);
    return done;
  }

  /** Ends the case that runs now: its promise throws Cancelled. */
  cancel(): void {
    if (this.running === null) return;
    const { worker, cancel } = this.running;
    worker.terminate();
    this.started = null;
    cancel();
  }

  private async segmented(
    name: string,
    files: Record<string, File>,
    progress: (told: Progress) => void,
  ): Promise<Done> {
    if (this.started === null) await this.open();
    const worker = await this.started!;
    const id = ++this.last;
    const cancelled = new Promise<never>((_, reject) => {
      this.running = { worker, cancel: () => reject(new Cancelled()) };
    });
    const answer = reply(worker, { kind: "segment", id, name, files }, (told) => {
      if (told.kind === "progress" && told.id === id) progress(told);
      return told.kind === "done" && told.id === id;
    });
    try {
      return (await Promise.race([answer, cancelled])) as Done;
    } finally {
      this.running = null;
    }
  }
}

/** What a worker is started with. */
interface Start {
  script: string | URL;
  open: Open;
}

/** What always works, and what is tried first, on WebGPU; null where there is none. */
interface Parts {
  sure: Start;
  fast: Start | null;
}

/** What the worker needs, from the page: all of it checked by digest, the networks by those of the artefact. */
async function partsOf(known: Model): Promise<Parts> {
  const networks: ArrayBuffer[] = [];
  for (const [n, view] of known.views.entries()) {
    const bytes = await partOf(`network-${n}`);
    if ((await sha256(bytes)) !== view.sha256) throw damaged(`${view.network} is not what was exported`);
    networks.push(bytes.buffer as ArrayBuffer);
  }
  const golden = holds("golden") ? ((await partOf("golden")).buffer as ArrayBuffer) : null;
  const served = placeOf("worker");
  const open = { kind: "open", model: known, networks, golden, webgpu: false } as const;
  if (served === null) {
    const source = new Blob([(await partOf("worker")) as BlobPart], { type: "text/javascript" });
    const engine = (await partOf("engine")).buffer as ArrayBuffer;
    return { sure: { script: URL.createObjectURL(source), open: { ...open, engine, threads: 1 } }, fast: null };
  }
  const threads = globalThis.crossOriginIsolated ? Math.min(navigator.hardwareConcurrency || 1, 8) : 1;
  const start = (mark: string, webgpu: boolean): Start => ({
    script: new URL(placeOf(`worker${mark}`)!, document.baseURI),
    open: { ...open, engine: new URL(placeOf(`engine${mark}`)!, document.baseURI).href, threads, webgpu },
  });
  return { sure: start("", false), fast: (await hasWebGpu()) ? start("-webgpu", true) : null };
}

async function hasWebGpu(): Promise<boolean> {
  const { gpu } = navigator as { gpu?: { requestAdapter(): Promise<unknown> } };
  return gpu !== undefined && (await gpu.requestAdapter().catch(() => null)) !== null;
}

/** Asks the worker; the reply of which `is` says that it is the last. Throws what it refuses. */
function reply(worker: Worker, asked: Request, is: (told: Reply) => boolean): Promise<Reply> {
  return new Promise((resolve, reject) => {
    worker.onmessage = ({ data }: MessageEvent<Reply>) => {
      if (data.kind === "refused") reject(new Refusal(data.cause, data.fix));
      else if (is(data)) resolve(data);
    };
    worker.onerror = (event) => {
      event.preventDefault();
      reject(new Refusal(`the page's worker ended (${event.message || "no reason given"})`, "reload the page, in a current browser"));
    };
    worker.postMessage(asked);
  });
}
