import assert from "node:assert/strict";
import { test } from "node:test";

import { distinct, ending, labelMapName, savedName, stem } from "../../src/page/names.ts";

test("endings as written, in any case", () => {
  assert.deepEqual(
    [ending("a.NII.GZ"), ending("a.nii"), ending("a.gz"), ending("nii")],
    [".NII.GZ", ".nii", "", ""],
  );
  assert.deepEqual([stem("a.b.nii.gz"), stem("a.txt")], ["a.b", "a.txt"]);
});

test("label maps are called as `distilseg predict` calls them", () => {
  assert.equal(labelMapName("a", "a_0000.nii.gz"), "a.nii.gz");
  assert.equal(labelMapName("a", "a.nii"), "a.nii");
});

test("names that no file may have become ones that it may", () => {
  assert.equal(savedName("hippocampus_001"), "hippocampus_001");
  assert.equal(savedName("<img src=x onerror=alert(1)>"), "_img src=x onerror=alert(1)_");
  assert.equal(savedName("../../etc/passwd").includes("/"), false);
  assert.equal(savedName("a\u202eb\nc"), "a_b_c");
  assert.deepEqual(["CON", "", ".a", "a."].map(savedName), ["_CON", "_", "_a", "a_"]);
});

test("a taken name gets its folder's, then a number", () => {
  assert.equal(distinct("t1", "x/p2", ["t2"]), "t1");
  assert.equal(distinct("t1", "x/p2", ["T1"]), "p2_t1");
  assert.equal(distinct("t1", "x/p2", ["t1", "p2_t1"]), "p2_t1_2");
  assert.equal(distinct("t1", "", ["t1", "t1_2"]), "t1_3");
});
