/** What the model is: for whom, how good, from where, under which licence. All of it is text of others. */

import type { Model } from "../model.ts";
import type { Opened } from "../worker/messages.ts";
import { el, type Content } from "./dom.ts";
import { markdown, section } from "./markdown.ts";
import { bytes, list } from "./words.ts";

export class Card {
  readonly element: HTMLElement;
  readonly #engine = el("dd", {}, "…");

  constructor(model: Model) {
    const found = model.labels.filter(({ value }) => value !== 0).map(({ name }) => name);
    const measured = section(model.card, "Measured");
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
        ...fact("Size", bytes(size)),
        ...fact("Made with", `distilseg ${model.version}`),
        el("dt", {}, "Runs on"),
        this.#engine,
        el("dt", { class: "all" }, "Licences and sources"),
        el("dd", { class: "all" }, el("ul", {}, ...model.licences.map((line) => el("li", {}, line)))),
        el("dt", { class: "all" }, "Digest, SHA-256 of the artefact"),
        el("dd", { class: "all" }, el("code", {}, model.digest)),
      ),
      measured ? el("div", { class: "card" }, el("h3", {}, "Measured"), ...markdown(measured)) : null,
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

function fact(name: string, value: string): [HTMLElement, HTMLElement] {
  return [el("dt", {}, name), el("dd", {}, value)];
}

function more(name: string, ...content: Content[]): HTMLElement {
  return el("details", {}, el("summary", {}, name), ...content);
}
