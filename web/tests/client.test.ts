import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { beforeEach, test } from "node:test";
import { gzipSync } from "node:zlib";

import { Cancelled, Client } from "../src/worker/client.ts";
import type { Reply, Request } from "../src/worker/messages.ts";

const digest = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

/** An element as export writes it. */
function part(bytes: Uint8Array, packed = true): { textContent: string; dataset: Record<string, string>; remove(): void } {
  const textContent = packed ? gzipSync(bytes).toString("base64") : new TextDecoder().decode(bytes);
  return { textContent, dataset: { sha256: digest(bytes) }, remove: () => undefined };
}

const network = new Uint8Array([1, 2, 3]);
const model = { format: 1, views: [{ network: "network.onnx", sha256: digest(network) }] };
const page: Record<string, ReturnType<typeof part>> = {
  model: part(new TextEncoder().encode(JSON.stringify(model)), false),
  "network-0": part(network),
  worker: part(new Uint8Array([4])),
  engine: part(new Uint8Array([5])),
};

/** Answers by the case's name: `slow` never, `bad` as a worker that is of no more use. */
class FakeWorker {
  static made = 0;
  static ended = 0;
  onmessage: ((event: { data: Reply }) => void) | null = null;

  constructor() {
    FakeWorker.made++;
  }

  terminate(): void {
    FakeWorker.ended++;
  }

  postMessage(asked: Request): void {
    const say = (data: unknown): void => void setTimeout(() => this.onmessage?.({ data: data as Reply }), 1);
    if (asked.kind === "open") return say({ kind: "opened", backend: "wasm", why: "" });
    if (asked.name === "bad") return say({ kind: "refused", id: asked.id, cause: "no memory", fix: "crop", broken: true });
    if (asked.name === "four") return say({ kind: "refused", id: asked.id, cause: "4D", fix: "store", broken: false });
    if (asked.name !== "slow") say({ kind: "done", id: asked.id });
  }
}

beforeEach(() => {
  FakeWorker.made = FakeWorker.ended = 0;
  Object.assign(globalThis, { Worker: FakeWorker, document: { getElementById: (id: string) => page[id] ?? null } });
});

const segment = (client: Client, name: string): Promise<unknown> => client.segment(name, {}, () => undefined);
const settled = (ms = 20): Promise<void> => new Promise((done) => setTimeout(done, ms));

test("cases are segmented one after another by one worker", async () => {
  const client = new Client();
  await client.open();
  await Promise.all([segment(client, "a"), segment(client, "b")]);
  assert.equal(FakeWorker.made, 1);
});

test("what is refused leaves the worker, what broke it does not", async () => {
  const client = new Client();
  await assert.rejects(segment(client, "four"), /4D: store/);
  await segment(client, "a");
  assert.equal(FakeWorker.made, 1);
  await assert.rejects(segment(client, "bad"), /no memory: crop/);
  await segment(client, "b");
  await settled();
  assert.deepEqual([FakeWorker.made, FakeWorker.ended], [2, 1]);
});

test("a cancelled case ends its worker, and those that wait go on in a fresh one", async () => {
  const client = new Client();
  await client.open();
  const slow = segment(client, "slow");
  const next = segment(client, "a");
  await settled();
  client.cancel();
  await assert.rejects(slow, Cancelled);
  await next;
  assert.deepEqual([FakeWorker.made, FakeWorker.ended], [2, 1]);
});

test("a case can be cancelled while its worker is starting", async () => {
  const client = new Client();
  const first = segment(client, "a");
  await Promise.resolve();
  client.cancel();
  await assert.rejects(first, Cancelled);
});

test("a network that is not the artefact's is refused, whatever its own digest says", async () => {
  const other = new Uint8Array([9]);
  Object.assign(globalThis, {
    document: { getElementById: (id: string) => (id === "network-0" ? part(other) : (page[id] ?? null)) },
  });
  await assert.rejects(new Client().open(), /network.onnx is not what was exported/);
});
