/** How a case is looked at: which view, which scan, how bright, how opaque, where one is. */

import type { Label } from "../model.ts";
import { button, el, fill, fresh } from "./dom.ts";
import type { Place, View, Viewer } from "./viewer.ts";
import { grouped } from "./words.ts";

const VIEWS: readonly (readonly [View, string])[] = [
  ["all", "All"],
  ["axial", "Axial"],
  ["coronal", "Coronal"],
  ["sagittal", "Sagittal"],
  ["3d", "3D"],
];
const OPACITY = 60; // per cent, at first

export interface Looking {
  /** Does something with the viewer, once there is one. */
  with(act: (viewer: Viewer) => void): void;
  view(which: View): void;
  /** Another scan of the case is to be drawn. */
  modality(): void;
  /** What is black and white at first; null: what suits the scan. */
  window(modality: string): [number, number] | null;
}

export class Controls {
  readonly element = el("div", { class: "controls" });
  readonly #modality = el("select", { id: fresh("scan") });
  readonly #low = windowField("black");
  readonly #high = windowField("white");
  readonly #place = el("p", { class: "place" });

  constructor(
    modalities: readonly string[],
    private readonly labels: readonly Label[],
    private readonly looking: Looking,
  ) {
    fill(this.#modality, ...modalities.map((modality) => el("option", { value: modality }, modality)));
    this.#modality.addEventListener("change", () => looking.modality());
    for (const one of [this.#low, this.#high])
      one.addEventListener("change", () => looking.with((v) => this.#set(v)));
    const usual = button({ class: "quiet" }, () => looking.with((viewer) => this.#usual(viewer)), "Reset");
    const sides = el("input", { type: "checkbox", checked: true });
    sides.addEventListener("change", () => looking.with((viewer) => (viewer.radiological = sides.checked)));
    const to = el("span", { class: "faint" }, "to");
    fill(
      this.element,
      this.#views(),
      modalities.length > 1 ? field("Scan", this.#modality) : null,
      field("Opacity", this.#opacity()),
      el(
        "div",
        { class: "field", role: "group", "aria-label": "Contrast" },
        el("span", {}, "Contrast"),
        this.#low,
        to,
        this.#high,
        usual,
      ),
      el("label", { class: "tick" }, sides, "Patient’s right on the left"),
      this.#place,
      el(
        "p",
        { class: "faint hint" },
        "Click or drag in a plane to move through the scan; drag with the right button to set contrast.",
      ),
    );
  }

  /** The scan that lies below the labels. */
  get modality(): string {
    return this.#modality.value;
  }

  /** Tells what a viewer shows as black and as white. */
  tellWindow(viewer: Viewer): void {
    const [low, high] = viewer.window;
    this.#low.value = String(Number(low.toPrecision(4)));
    this.#high.value = String(Number(high.toPrecision(4)));
  }

  tellPlace({ mm, intensity, label }: Place): void {
    const name = this.labels.find(({ value }) => value === label)?.name ?? String(label);
    const told = [
      `${mm.map((one) => grouped(one, 1)).join(", ")} mm`,
      String(Number(intensity.toPrecision(4))),
      label === 0 ? "–" : name,
    ];
    this.#place.textContent = told.join(" · ");
  }

  #views(): HTMLElement {
    const name = fresh("view");
    const choices = VIEWS.map(([view, title]) => {
      const box = el("input", { type: "radio", name, value: view, checked: view === "all" });
      box.addEventListener("change", () => this.looking.view(view));
      return el("label", {}, box, el("span", {}, title));
    });
    return el("fieldset", { class: "views" }, el("legend", { class: "unseen" }, "View"), ...choices);
  }

  #opacity(): HTMLInputElement {
    const range = el("input", { type: "range", id: fresh("opacity"), min: 0, max: 100, value: OPACITY });
    range.addEventListener("input", () =>
      this.looking.with((viewer) => (viewer.opacity = range.valueAsNumber / 100)),
    );
    return range;
  }

  #set(viewer: Viewer): void {
    const [low, high] = [this.#low.valueAsNumber, this.#high.valueAsNumber];
    if (low < high) viewer.window = [low, high];
    else this.tellWindow(viewer);
  }

  #usual(viewer: Viewer): void {
    viewer.window = this.looking.window(this.modality) ?? viewer.usualWindow();
    this.tellWindow(viewer);
  }
}

function windowField(shownAs: string): HTMLInputElement {
  return el("input", { type: "number", step: "any", "aria-label": `Shown as ${shownAs}` });
}

function field(name: string, control: HTMLInputElement | HTMLSelectElement): HTMLElement {
  return el("div", { class: "field" }, el("label", { for: control.id }, name), control);
}
