/** A fast network that has to earn its place: its first window is shown to the sure one too. On a difference beyond
 * rounding, or where it is not faster, it is refused, and the page takes the sure one. */

import { Refusal } from "../refusal.ts";
import type { Network } from "../runtime/inferers.ts";

const TOLERANCE = 1e-3; // of the largest logit

export function proven(fast: Network, sure: Network): Network {
  let proved = false;
  return async (windows) => {
    const answer = await fast(windows);
    if (proved) return answer;
    const [began, wanted] = [performance.now(), await sure(windows)];
    const sureMs = performance.now() - began;
    let [apart, largest] = [0, 1];
    for (let i = 0; i < wanted.data.length; i++) {
      const difference = Math.abs(answer.data[i] - wanted.data[i]);
      if (!(difference <= apart)) apart = difference; // of NaN, too
      largest = Math.max(largest, Math.abs(wanted.data[i]));
    }
    if (!(apart <= TOLERANCE * largest)) throw new Refusal(`webgpu: a logit differs by ${apart.toPrecision(2)}`, "wasm is used");
    const again = performance.now();
    await fast(windows); // the first time it compiled
    if (performance.now() - again > sureMs) throw new Refusal("webgpu: slower than wasm here", "wasm is used");
    proved = true;
    return answer;
  };
}
