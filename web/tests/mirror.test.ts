import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";

import { differing, differingAxes, differingFits, differingWindows, type Vectors } from "./vectors.ts";

const vectors = JSON.parse(readFileSync("tests/vectors.json", "utf8")) as Vectors;

test("windows stand where NumPy has them, and count as much", () => assert.deepEqual(differingWindows(vectors), []));
test("windows are fitted as NumPy fits them", () => assert.deepEqual(differingFits(vectors), []));
test("axes run in the patient as NumPy says", () => assert.deepEqual(differingAxes(vectors), []));

for (const one of vectors.cases)
  test(`label map, byte by byte: ${one.name}`, async () => assert.deepEqual(await differing(one), []));
