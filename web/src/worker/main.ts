/** The worker's entry: one message in, several out; see `messages.ts`. */

import { Broken, Refusal } from "../refusal.ts";
import { Student } from "../runtime/student.ts";
import { compared, goldenCase, goldenFiles } from "./golden.ts";
import type { Golden, Open, Reply, Request } from "./messages.ts";
import { brief, loadNetwork, startEngine } from "./network.ts";
import { proven } from "./proven.ts";
import { segmented } from "./segmenting.ts";

interface Scope {
  name: string;
  postMessage(reply: Reply, transfer?: Transferable[]): void;
  onmessage: ((event: MessageEvent<Request>) => void) | null;
}

const scope = self as unknown as Scope;
let student: Student | null = null;

async function open(asked: Open): Promise<void> {
  const began = performance.now();
  startEngine(asked.engine, asked.threads);
  const backend = asked.webgpu ? "webgpu" : "wasm";
  const networks = [];
  for (const [n, view] of asked.model.views.entries()) {
    const network = await loadNetwork(asked.networks[n], view, backend);
    networks.push(asked.webgpu ? proven(network, await loadNetwork(asked.networks[n], view, "wasm")) : network);
  }
  student = new Student(asked.model, networks);
  const golden = await proved(student, asked.golden);
  const seconds = (performance.now() - began) / 1000;
  scope.postMessage({ kind: "opened", backend, why: "", threads: asked.threads, golden, seconds });
}

/** Whether this browser gives what the exporter gave. */
async function proved(student: Student, packed: ArrayBuffer | null): Promise<Golden> {
  if (packed === null) return { equal: null, voxels: 0, differ: 0 };
  const golden = goldenCase(packed);
  const asked = { kind: "segment", id: -1, name: golden.name, files: goldenFiles(golden) } as const;
  const { file } = await segmented(student, asked, () => undefined);
  return compared(golden, file);
}

async function answer(asked: Request): Promise<void> {
  try {
    if (asked.kind === "open") return await open(asked);
    if (student === null) throw new Refusal("the model is not open", "reload the page");
    const done = await segmented(student, asked, (told) => scope.postMessage(told));
    scope.postMessage(done, [done.file.buffer as ArrayBuffer]);
  } catch (error) {
    const id = asked.kind === "open" ? null : asked.id;
    const broken = error instanceof Broken || error instanceof RangeError;
    scope.postMessage({ kind: "refused", id, ...refusal(error, asked), broken });
  }
}

function refusal(error: unknown, asked: Request): { cause: string; fix: string } {
  if (error instanceof Refusal) return { cause: error.reason, fix: error.fix };
  const what = asked.kind === "open" ? "the model" : `case ${asked.name}`;
  if (error instanceof RangeError)
    return { cause: `${what}: there is not enough memory for it`, fix: "crop it, or predict it with distilseg" };
  return { cause: `${what}: ${brief(error)}`, fix: "reload the page; if it stays, tell who made it" };
}

if (!scope.name.startsWith("em-pthread")) {
  // One case at a time, in the order of asking; ONNX Runtime's own threads run this file too.
  let before: Promise<void> = Promise.resolve();
  scope.onmessage = ({ data }) => {
    before = before.then(() => answer(data));
  };
}
