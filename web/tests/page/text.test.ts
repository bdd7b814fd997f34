/** Text of others and numbers for people; and that no source of the page can make markup of text. */

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";

import { colourTable } from "../../src/page/colours.ts";
import { pieces, rows, section } from "../../src/page/markdown.ts";
import { middles, millimetres } from "../../src/page/middle.ts";
import { bytes, count, grouped, list, millilitres, seconds, stage } from "../../src/page/words.ts";

test("Markdown of a card in pieces; links and markup of others are text", () => {
  assert.deepEqual(pieces("run `a < b`, **now**: [here](https://x.y) &#60;img&#62;"), [
    { kind: "text", text: "run " },
    { kind: "code", text: "a < b" },
    { kind: "text", text: ", " },
    { kind: "strong", text: "now" },
    { kind: "text", text: ": " },
    { kind: "text", text: "here" },
    { kind: "text", text: " <img>" },
  ]);
  assert.deepEqual(pieces("<script>x</script>"), [{ kind: "text", text: "<script>x</script>" }]);
});

test("a section of a card is found by its heading", () => {
  const card = "# A\n\n## Measured\n\nOn 20 cases.\n\n| a |\n\n## Limits\n\n- one";
  assert.equal(section(card, "Measured"), "On 20 cases.\n\n| a |");
  assert.equal(section(card, "Limits"), "- one");
  assert.equal(section(card, "Else"), "");
});

test("numbers in words", () => {
  assert.deepEqual([0.034, 4.5, 12.34, 1234.5].map(millilitres), ["0.03", "4.50", "12.3", "1,235"]);
  assert.deepEqual([0.44, 12.4, 75].map(seconds), ["0.4 s", "12 s", "1 min 15 s"]);
  assert.deepEqual(
    [1, 2000].map((number) => count(number, "case")),
    ["1 case", "2,000 cases"],
  );
  assert.deepEqual(
    [list([]), list(["a"]), list(["a", "b"]), list(["a", "b", "c", "d"], 3)],
    ["", "a", "a and b", "a, b and 2 more"],
  );
  assert.deepEqual([bytes(1500), bytes(1_234_567), bytes(26_000_000)], ["2 kB", "1.2 MB", "26 MB"]);
  assert.equal(stage({ kind: "progress", id: 1, stage: "network", window: 3, of: 8 }), "Window 3 of 8");
});

test("a table of one line, or of nothing, is one; a row of dashes stays", () => {
  assert.deepEqual(rows(["|---|"]), [["---"]]);
  assert.deepEqual(rows(["| a | b |", "|---|--:|", "| - | 1 ± 2 |"]), [["a", "b"], ["-", "1 ±\u00a02"]]);
});

test("nothing is minus nothing", () => assert.equal(grouped(-0.01, 1), "0.0"));

test("in any table of colours the background keeps its place", () => {
  for (const labels of [2, 3, 64, 66, 118, 300, 5000]) {
    const shown = Array.from({ length: labels }, (_, value) => {
      return { value, colour: [value % 256, 0, 0] as const, alpha: value === 0 ? 0 : 255 };
    });
    const { I, A } = colourTable(shown);
    const [least, most] = [Math.min(...I), Math.max(...I)];
    const place = (value: number): number => (value - least + 0.5) / (most - least + 1); // as NiiVue counts it
    assert.ok(place(0) >= 2 / 256, `${labels} labels: the background at ${place(0)}`);
    assert.equal(A[I.indexOf(0)], 0);
  }
});

test("the middle of a structure is a voxel of it, even of a ring", () => {
  const labels = [1, 1, 1, 1, 0, 1, 1, 1, 1].map((value) => value * 2);
  const [i, j, k] = middles(labels, [3, 3, 1]).get(2)!;
  assert.notDeepEqual([i, j, k], [1, 1, 0]);
  assert.equal(labels[i + 3 * j + 9 * k], 2);
  assert.deepEqual([...middles([0, 5, 5, 5], [4, 1, 1])], [[5, [2, 0, 0]]]);
  assert.deepEqual(
    millimetres(
      [
        [-2, 0, 0, 10],
        [0, 0, 3, 1],
        [0, 1, 0, -4],
      ],
      [1, 2, 3],
    ),
    [8, 10, -2],
  );
});

test("no source of the page makes markup, scripts or styles of text", () => {
  const forbidden =
    /innerHTML|outerHTML|insertAdjacentHTML|document\.write|createContextualFragment|DOMParser|srcdoc|\beval\(|new Function|setHTML|cssText|\bfetch\(|XMLHttpRequest|WebSocket|sendBeacon|localStorage|indexedDB/;
  const sources = readdirSync("src/page").filter((name) => name.endsWith(".ts"));
  assert.ok(sources.length > 15);
  for (const name of sources) {
    const found = forbidden.exec(readFileSync(`src/page/${name}`, "utf8"));
    assert.equal(found, null, `${name}: ${found?.[0]}`);
  }
});
