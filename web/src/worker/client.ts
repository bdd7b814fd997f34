/** The worker as the page sees it: promises instead of messages, a fresh worker after a cancel.
 *
 *     const client = new Client();
 *     const opened = await client.open();                  // or throws Refusal: say it, there is no model then
 *     const done = await client.segment(name, files, progress => ...);     // throws Refusal, or Cancelled
 *     client.cancel();                                     // ends what runs now; what waits is not lost
 */

import type { Model } from "../model.ts";
import { Broken, Refusal } from "../refusal.ts";
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
  private started: Promise<Started> | null = null;
  private cancelRunning: (() => void) | null = null;
  private before: Promise<unknown> = Promise.resolve();
  private last = 0;

  /** Starts the worker: digests, compiling, golden case. Some seconds. */
  async open(): Promise<Opened> {
    return (await this.running()).opened;
  }

  /** Segments one case; calls wait for those before. `files` holds every modality of the model. */
  segment(name: string, files: Record<string, File>, progress: (told: Progress) => void): Promise<Done> {
    const done = this.before.then(() => this.segmented(name, files, progress));
    this.before = done.catch(() => undefined);
    return done;
  }

  /** Ends the case that runs now: its promise throws Cancelled. */
  cancel(): void {
    this.cancelRunning?.();
  }

  private async segmented(
    name: string,
    files: Record<string, File>,
    progress: (told: Progress) => void,
  ): Promise<Done> {
    const cancelled = new Promise<never>((_, reject) => {
      this.cancelRunning = () => {
        this.stop();
        reject(new Cancelled());
      };
    });
    try {
      return await Promise.race([this.asked(name, files, progress), cancelled]);
    } catch (error) {
      if (error instanceof Broken) this.stop();
      throw error;
    } finally {
      this.cancelRunning = null;
    }
  }

  private stop(): void {
    this.started?.then(({ worker }) => worker.terminate()).catch(() => undefined);
    this.started = null;
  }

  private async asked(name: string, files: Record<string, File>, progress: (told: Progress) => void): Promise<Done> {
    const { worker } = await this.running();
    const id = ++this.last;
    return (await reply(worker, { kind: "segment", id, name, files }, (told) => {
      if (told.kind === "progress" && told.id === id) progress(told);
      return told.kind === "done" && told.id === id;
    })) as Done;
  }

  /** The worker that runs, or a fresh one; what failed to start is started anew. */
  private running(): Promise<Started> {
    if (this.started === null) {
      const starting = this.start();
      this.started = starting;
      starting.catch(() => {
        if (this.started === starting) this.started = null;
      });
    }
    return this.started;
  }

  private async start(): Promise<Started> {
    const parts = await (this.parts ??= partsOf(model()));
    if (parts.fast !== null) {
      try {
        return await startWorker(parts.fast, "");
      } catch (error) {
        this.why = error instanceof Refusal ? error.reason : String(error);
        parts.fast = null;
      }
    }
    return startWorker(parts.sure, this.why);
  }
}

/** A worker that is open. */
interface Started {
  worker: Worker;
  opened: Opened;
}

async function startWorker({ script, open }: Start, why: string): Promise<Started> {
  const worker = new Worker(script, typeof script === "string" ? {} : { type: "module" });
  try {
    const opened = (await reply(worker, open, (told) => told.kind === "opened")) as Opened;
    return { worker, opened: { ...opened, why } };
  } catch (error) {
    worker.terminate();
    throw error;
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
      if (data.kind === "refused") reject(new (data.broken ? Broken : Refusal)(data.cause, data.fix));
      else if (is(data)) resolve(data);
    };
    worker.onerror = (event) => {
      event.preventDefault();
      reject(new Broken(`the page's worker ended (${event.message || "no reason given"})`, "reload the page, in a current browser"));
    };
    worker.postMessage(asked);
  });
}
