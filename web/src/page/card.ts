/** What the model is: for whom, how good, from where, under which licence. All of it is text of others. */

import type { Model } from "../model.ts";
import type { Opened } from "../worker/messages.ts";
import { el, type Content } from "./dom.ts";
import { markdown } from "./markdown.ts";
import { bytes, count, list } from "./words.ts";

/** How good the model was on test cases, where it says so: means over cases, by structure. */
export interface Judged {
  cases: number;
  dice: Record<string, number>;
}

export class Card {
  readonly element: HTMLElement;
  readonly #engine = el("dd", {}, "…");

  constructor(model: Model) {
    const found = model.labels.filter(({ value }) => value !== 0).map(({ name }) => name);
    const { judged } = model as Model & { judged?: Judged | null };
    const size = model.views.reduce((sum, view) => sum + view.bytes, 0);
    this.element = el(
      "section",
      { class: "about", "aria-labelledby": "about-title" },
      el("h2", { id: "about-title" }, "About this model"),
      el(
        "dl",
        { class: "facts" },
        ...fact("Model", model.name),
        ...fact("Takes", list(model.modalities, 12)),
        ...fact("Finds", list(found, 12)),
        ...(judged ? fact("Dice", dice(judged)) : []),
        ...fact("Size", bytes(size)),
        ...fact("Made with", `distilseg ${model.version}`),
        el("dt", {}, "Runs on"),
        this.#engine,
        el("dt", { class: "all" }, "Licences and sources"),
        el("dd", { class: "all" }, el("ul", {}, ...model.licences.map((line) => el("li", {}, line)))),
        el("dt", { class: "all" }, "Digest, SHA-256 of the artefact"),
        el("dd", { class: "all" }, el("code", {}, model.digest)),
      ),
      more("Model card", el("div", { class: "card" }, ...markdown(model.card))),
      more("Programs in this page and their licences", el("pre", {}, model.programs)),
      el("p", { class: "faint" }, "Whoever has this file has the model in it: its weights can be read out."),
    );
  }

  opened({ backend, threads, why }: Opened): void {
    const engine =
      backend === "webgpu"
        ? "the graphics card (WebGPU)"
        : `the processor (WebAssembly, ${threads} ${threads === 1 ? "thread" : "threads"})`;
    this.#engine.textContent = why ? `${engine}; ${why}` : engine;
  }
}

function dice({ cases, dice }: Judged): string {
  const scores = Object.entries(dice).map(([name, score]) => `${name} ${score.toFixed(3)}`);
  return `${list(scores, 12)}: means over ${count(cases, "test case")} of the run`;
}

function fact(name: string, value: string): [HTMLElement, HTMLElement] {
  return [el("dt", {}, name), el("dd", {}, value)];
}

function more(name: string, ...content: Content[]): HTMLElement {
  return el("details", {}, el("summary", {}, name), ...content);
}
