import assert from "node:assert/strict";
import { test } from "node:test";

import { grouped, scansIn, type Found } from "../../src/page/cases.ts";

function given(...paths: string[]): Found[] {
  return paths.map((path) => {
    const parts = path.split("/");
    return { file: new File(["x"], parts.at(-1)!), folder: parts.slice(0, -1).join("/") };
  });
}

function cases(modalities: string[], ...paths: string[]): Record<string, Record<string, string>> {
  const told = grouped(given(...paths), modalities);
  return Object.fromEntries(
    told.cases.map((one) => [
      one.name,
      Object.fromEntries(Object.entries(one.files).map(([modality, file]) => [modality, file.name])),
    ]),
  );
}

function refusals(modalities: string[], ...paths: string[]): Record<string, string> {
  return Object.fromEntries(
    grouped(given(...paths), modalities).refused.map(({ file, why }) => [file.name, why]),
  );
}

test("one modality: a file is a case, with nnU-Net's suffix or without", () => {
  assert.deepEqual(cases(["MR"], "a.nii.gz", "b_0000.nii.gz", "C.NII"), {
    a: { MR: "a.nii.gz" },
    b: { MR: "b_0000.nii.gz" },
    C: { MR: "C.NII" },
  });
});

test("one modality: without a _0000 the numbers count cases", () => {
  assert.deepEqual(Object.keys(cases(["MR"], "scan_0001.nii", "scan_0002.nii")), ["scan_0001", "scan_0002"]);
});

test("one modality: several scans of a case are refused by name", () => {
  const why = refusals(["MR"], "a_0000.nii", "a_0001.nii", "b.nii");
  assert.deepEqual(Object.keys(why), ["a_0000.nii", "a_0001.nii"]);
  assert.match(why["a_0000.nii"], /one scan a case \(MR\).*a_0000.nii, a_0001.nii/);
});

test("several modalities: by number in their order, or by name in any writing", () => {
  assert.deepEqual(
    cases(
      ["FLAIR", "T1-ce"],
      "a_0001.nii",
      "a_0000.nii",
      "b_t1_ce.nii.gz",
      "b-x_flair.nii.gz",
      "b_FLAIR.nii.gz",
    ),
    {
      a: { FLAIR: "a_0000.nii", "T1-ce": "a_0001.nii" },
      b: { FLAIR: "b_FLAIR.nii.gz", "T1-ce": "b_t1_ce.nii.gz" },
      "b-x": { FLAIR: "b-x_flair.nii.gz" },
    },
  );
});

test("a modality may be called as objects call what all of them have", () => {
  assert.deepEqual(cases(["constructor", "valueOf"], "a_0000.nii", "a_0001.nii"), {
    a: { constructor: "a_0000.nii", valueOf: "a_0001.nii" },
  });
  assert.deepEqual(refusals(["constructor", "valueOf"], "a_0000.nii", "a_0001.nii"), {});
  assert.deepEqual(grouped(given("a_0000.nii", "a_0001.nii"), ["__proto__", "CT"]).cases[0].missing, []);
});

test("several modalities: what a case lacks is told, what says nothing is asked for", () => {
  const told = grouped(given("a_0000.nii", "plain.nii", "c_0007.nii"), ["FLAIR", "T1"]);
  assert.deepEqual(
    told.cases.map((one) => [one.name, one.missing]),
    [["a", ["T1"]]],
  );
  assert.deepEqual(
    told.unsure.map(({ file }) => file.name),
    ["plain.nii", "c_0007.nii"],
  );
  assert.deepEqual(told.refused, []);
});

test("scans of one name in two folders are two cases", () => {
  const told = grouped(given("p1/t1.nii", "p2/t1.nii"), ["MR"]);
  assert.deepEqual(
    told.cases.map((one) => [one.folder, one.name]),
    [
      ["p1", "t1"],
      ["p2", "t1"],
    ],
  );
});

test("twice the same case: the first is kept", () => {
  const why = refusals(["MR"], "a.nii", "a.nii.gz");
  assert.deepEqual(Object.keys(why), ["a.nii.gz"]);
});

test("what is no scan is refused in one line that says what to do", () => {
  const why = refusals(["MR"], "notes.txt", "IM_1.dcm", "a.nrrd");
  assert.match(why["notes.txt"], /end in .nii/);
  assert.match(why["IM_1.dcm"], /convert/);
  assert.match(why["a.nrrd"], /convert/);
  const empty = grouped([{ file: new File([], "a.nii"), folder: "" }], ["MR"]);
  assert.match(empty.refused[0].why, /empty/);
});

test("of a folder: no labels, nothing hidden, others counted", () => {
  const told = scansIn(
    given(
      "d/imagesTr/a.nii.gz",
      "d/labelsTr/a.nii.gz",
      "d/imagesTr/._a.nii.gz",
      "d/dataset.json",
      "d/.git/b.nii",
    ),
  );
  assert.deepEqual(
    told.scans.map(({ file, folder }) => `${folder}/${file.name}`),
    ["d/imagesTr/a.nii.gz"],
  );
  assert.equal(told.others, 4);
});
