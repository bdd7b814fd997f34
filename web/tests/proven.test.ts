import assert from "node:assert/strict";
import test from "node:test";

import type { Network } from "../src/runtime/inferers.ts";
import { proven } from "../src/worker/proven.ts";

const windows = { data: new Float32Array(8), shape: [1, 1, 2, 2, 2] };

/** Answers one number, after so many milliseconds. */
function answers(value: number, ms: number): Network {
  return async ({ shape }) => {
    await new Promise((done) => setTimeout(done, ms));
    return { data: new Float32Array(8).fill(value), shape };
  };
}

test("a network that is equal and faster is taken, and asked about alone from then on", async () => {
  let asked = 0;
  const sure = answers(5, 60);
  const network = proven(answers(5.0001, 0), (shown) => (asked++, sure(shown)));
  await network(windows);
  await network(windows);
  assert.equal(asked, 1);
});

test("one that differs is refused", () =>
  assert.rejects(proven(answers(5.1, 0), answers(5, 60))(windows), /a logit differs by 0.10/));

test("one that answers what is no number is refused", () =>
  assert.rejects(proven(answers(NaN, 0), answers(5, 60))(windows), /a logit differs by NaN/));

test("one that is slower is refused", () =>
  assert.rejects(proven(answers(5, 80), answers(5, 0))(windows), /slower than wasm/));
