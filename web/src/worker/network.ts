/** The network of a page as a function of arrays, by ONNX Runtime. The build for WebGPU has another one in the place of
 * `onnxruntime-web/wasm`, which does both. */

import * as ort from "onnxruntime-web/wasm";
import type { View } from "../model.ts";
import { Broken, Refusal } from "../refusal.ts";
import type { Network } from "../runtime/inferers.ts";
import type { Backend } from "./messages.ts";

/** What ONNX Runtime is to run: its WebAssembly as bytes, or where it is served. */
export function startEngine(engine: ArrayBuffer | string, threads: number): void {
  ort.env.logLevel = "error";
  ort.env.wasm.numThreads = threads;
  if (typeof engine === "string") ort.env.wasm.wasmPaths = { wasm: engine };
  else ort.env.wasm.wasmBinary = engine;
}

/** The function behind a network's file. */
export async function loadNetwork(bytes: ArrayBuffer, view: View, backend: Backend): Promise<Network> {
  let session: ort.InferenceSession;
  try {
    session = await ort.InferenceSession.create(new Uint8Array(bytes), { executionProviders: [backend] });
  } catch (error) {
    throw new Refusal(`${view.network} cannot be loaded (${brief(error)})`, "use a current browser, or get the page again");
  }
  const [input] = session.inputNames;
  const [output] = session.outputNames;
  return async (windows) => {
    try {
      const shown = new ort.Tensor("float32", windows.data, [...windows.shape]);
      const answer = (await session.run({ [input]: shown }))[output];
      const data = (await answer.getData()) as Float32Array;
      return { data, shape: answer.dims.map(Number) };
    } catch (error) {
      if (error instanceof RangeError) throw error;
      throw new Broken(
        `${view.network} cannot take windows of [${windows.shape.join(", ")}] here (${brief(error)})`,
        "close other pages, or predict it with distilseg",
      );
    }
  };
}

export function brief(error: unknown): string {
  const told = error instanceof Error ? error.message : String(error);
  return told.replace(/\s+/g, " ").slice(0, 200);
}
