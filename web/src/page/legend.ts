/** The structures of a case, those that were found first: colour, name, volume, shown or not, and a way to each. */

import type { Label } from "../model.ts";
import type { Done } from "../worker/messages.ts";
import { button, el, fill, set } from "./dom.ts";
import { icon } from "./icons.ts";
import { millilitres } from "./words.ts";

export interface Wishes {
  hide(values: ReadonlySet<number>): void;
  lookAt(value: number): void;
}

export class Legend {
  readonly element: HTMLElement;
  readonly #list = el("ul", { class: "legend" });
  readonly #all: HTMLButtonElement;
  readonly #hidden = new Set<number>();
  #boxes: HTMLInputElement[] = [];

  /** `drawn`: whether there is a picture in which something can be hidden. */
  constructor(
    private readonly labels: readonly Label[],
    private readonly drawn: boolean,
    private readonly wishes: Wishes,
  ) {
    this.#all = button({ class: "quiet" }, () => this.#toggleAll(), "");
    this.element = el(
      "div",
      { class: "structures" },
      el("div", { class: "heading" }, el("h3", {}, "Structures"), drawn ? this.#all : null),
      this.#list,
    );
  }

  show(done: Done): void {
    this.#boxes = [];
    const found = ({ value }: Label): boolean =>
      (done.volumes.find((one) => one.value === value)?.voxels ?? 0) > 0;
    const named = this.labels.filter(({ value }) => value !== 0);
    const ordered = [...named.filter(found), ...named.filter((label) => !found(label))];
    fill(this.#list, ...ordered.map((label) => this.#item(label, done)));
    this.#nameAll();
  }

  #item({ value, name, colour }: Label, done: Done): HTMLLIElement {
    const volume = done.volumes.find((one) => one.value === value);
    const none = !volume || volume.voxels === 0;
    const swatch = el("span", { class: "swatch", "aria-hidden": "true" });
    swatch.style.setProperty("--colour", `rgb(${colour.join(" ")})`);
    const title = el("span", { class: "name" }, name);
    const told = el("span", { class: "ml" }, none ? "not found" : `${millilitres(volume.ml)} ml`);
    if (!this.drawn)
      return el("li", { class: none ? "none" : null }, el("span", { class: "label" }, swatch, title), told);
    const box = el("input", { type: "checkbox", disabled: none, value });
    box.checked = !this.#hidden.has(value);
    box.addEventListener("change", () => this.#toggle([box]));
    this.#boxes.push(box);
    const go = button(
      {
        class: "quiet go",
        "aria-label": `Show the middle of ${name}`,
        title: "Show its middle",
        disabled: none,
      },
      () => this.wishes.lookAt(value),
      icon("target"),
    );
    return el(
      "li",
      { class: none ? "none" : null },
      el("label", { class: "label" }, box, swatch, title),
      told,
      go,
    );
  }

  #toggle(boxes: readonly HTMLInputElement[]): void {
    for (const box of boxes) {
      if (box.checked) this.#hidden.delete(Number(box.value));
      else this.#hidden.add(Number(box.value));
    }
    this.#nameAll();
    this.wishes.hide(this.#hidden);
  }

  #toggleAll(): void {
    const show = this.#hidden.size > 0;
    this.#boxes.forEach((box) => (box.checked = show));
    this.#toggle(this.#boxes);
  }

  #nameAll(): void {
    this.#all.textContent = this.#hidden.size > 0 ? "Show all" : "Hide all";
    set(this.#all, "hidden", this.#boxes.length < 2);
  }
}
