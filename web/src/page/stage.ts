/** The place where a case is looked at: pictures, controls, structures. */

import type { Model } from "../model.ts";
import { button, el, fill, fresh, set } from "./dom.ts";
import { Legend } from "./legend.ts";
import type { Row } from "./state.ts";
import { drawsHere, Viewer, type Place, type View } from "./viewer.ts";
import { grouped, list, seconds } from "./words.ts";

const VIEWS: readonly (readonly [View, string])[] = [
  ["all", "All"],
  ["axial", "Axial"],
  ["coronal", "Coronal"],
  ["sagittal", "Sagittal"],
  ["3d", "3D"],
];

export class Stage {
  readonly element: HTMLElement;
  readonly #title = el("h2", { id: "stage-title" });
  readonly #about = el("p", { class: "faint" });
  readonly #place = el("p", { class: "place" });
  readonly #planes = el("canvas", { tabindex: 0, role: "img" });
  readonly #solid = el("canvas", { tabindex: 0, role: "img" });
  readonly #pictures = el("div", { class: "pictures", "data-view": "all" });
  readonly #note = el("p", { class: "note", role: "status", hidden: true });
  readonly #controls = el("div", { class: "controls" });
  readonly #modality = el("select", { id: fresh("scan") });
  readonly #low = numberField("black");
  readonly #high = numberField("white");
  readonly #legend: Legend;
  readonly #draws = drawsHere();
  #viewer: Promise<Viewer | null> | null = null;
  #row: Row | null = null;

  constructor(private readonly model: Model) {
    this.#legend = new Legend(model.labels, this.#draws, {
      hide: (values) => void this.#with((viewer) => viewer.hide(values)),
      lookAt: (value) => void this.#with((viewer) => viewer.lookAt(value)),
    });
    this.#build();
    this.element = el(
      "section",
      { class: "stage", "aria-labelledby": "stage-title", hidden: true },
      el("div", { class: "heading" }, this.#title, this.#about),
      this.#note,
      el("div", { class: "columns" }, this.#pictures, el("div", { class: "side" }, this.#legend.element, this.#controls)),
    );
  }

  get row(): Row | null {
    return this.#row;
  }

  /** Shows a case that is done. */
  async show(row: Row): Promise<void> {
    if (row.status.kind !== "done") return;
    const { done } = row.status;
    this.#row = row;
    this.element.hidden = false;
    this.#title.textContent = row.name;
    const size = `${done.shape.join(" × ")} voxels of ${done.spacing_mm.map((mm) => grouped(mm, 2)).join(" × ")} mm`;
    this.#about.textContent = `${size}, segmented in ${seconds(done.seconds)}`;
    this.#legend.show(done);
    fill(this.#modality, ...Object.keys(row.files).map((modality) => el("option", { value: modality }, modality)));
    if (!this.#draws) return this.#say("This browser does not draw in 3D (no WebGL 2). Label maps and volumes are made all the same.");
    await this.#draw();
  }

  /** Nothing to look at any more. */
  close(): void {
    this.#row = null;
    this.element.hidden = true;
  }

  async #draw(): Promise<void> {
    const row = this.#row;
    if (row?.status.kind !== "done") return;
    const { done } = row.status;
    const modality = this.#modality.value;
    this.#pictures.setAttribute("aria-busy", "true");
    try {
      const viewer = await this.#made();
      if (!viewer) return;
      const shown = await viewer.show(row.files[modality], done, this.#window(modality));
      if (!shown) return;
      this.#say("");
      this.#tellWindow(viewer);
      const found = done.volumes.filter((one) => one.voxels > 0).map((one) => one.name);
      set(this.#planes, "aria-label", `Planes of ${row.name}, with ${list(found) || "nothing found"}. Arrow keys, Page Up and Page Down move them.`);
      set(this.#solid, "aria-label", `${list(found) || "Nothing found"} in 3D. Arrow keys turn it.`);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      this.#say(`This scan cannot be drawn here (${why}). Its label map is made and can be saved.`);
    } finally {
      set(this.#pictures, "aria-busy", null);
    }
  }

  /** Made with the first case: its canvases need their size. Null where it cannot be; the reason is said. */
  #made(): Promise<Viewer | null> {
    this.#viewer ??= Viewer.in(this.#planes, this.#solid, this.model.labels)
      .then((viewer) => {
        viewer.onPlace((place) => this.#tell(place));
        viewer.onWindow(() => this.#tellWindow(viewer));
        return viewer;
      })
      .catch((error: Error) => {
        this.#say(`The pictures cannot be drawn here (${error.message}). Label maps and volumes are made all the same.`);
        return null;
      });
    return this.#viewer;
  }

  async #with(act: (viewer: Viewer) => void): Promise<void> {
    const viewer = await this.#viewer;
    if (viewer) act(viewer);
  }

  /** The model's window, which is of its first modality. */
  #window(modality: string): [number, number] | null {
    return modality === this.model.modalities[0] ? this.model.window : null;
  }

  #build(): void {
    this.#pictures.append(el("div", { class: "planes" }, this.#planes), el("div", { class: "solid" }, this.#solid));
    if (!this.#draws) {
      this.#pictures.hidden = true;
      return;
    }
    this.#pictures.addEventListener("wheel", passedOver, { capture: true });
    this.#planes.addEventListener("keydown", (event) => this.#keys(event, (v, x, y, z) => v.step(x, y, z)));
    this.#solid.addEventListener("keydown", (event) => this.#keys(event, (v, x, y) => v.turn(5 * x, 5 * y)));
    this.#modality.addEventListener("change", () => void this.#draw());
    for (const field of [this.#low, this.#high]) field.addEventListener("change", () => void this.#setWindow());
    const opacity = el("input", { type: "range", id: fresh("opacity"), min: 0, max: 100, value: 60 });
    opacity.addEventListener("input", () => void this.#with((viewer) => (viewer.opacity = opacity.valueAsNumber / 100)));
    const sides = el("input", { type: "checkbox", checked: true });
    sides.addEventListener("change", () => void this.#with((viewer) => (viewer.radiological = sides.checked)));
    const usual = button({ class: "quiet" }, () => void this.#with((v) => this.#usual(v)), "Reset");
    fill(
      this.#controls,
      this.#views(),
      this.model.modalities.length > 1 ? field("Scan below", this.#modality) : null,
      field("Opacity", opacity),
      el("div", { class: "field", role: "group", "aria-label": "Contrast" }, el("span", {}, "Contrast"), this.#low, el("span", { class: "faint" }, "to"), this.#high, usual),
      el("label", { class: "tick" }, sides, "Patient’s right on the left"),
      this.#place,
      el("p", { class: "faint hint" }, "Click or drag in a plane to move through it; drag with the right button to set contrast."),
    );
  }

  #views(): HTMLElement {
    const name = fresh("view");
    const choices = VIEWS.map(([view, title]) => {
      const box = el("input", { type: "radio", name, value: view, checked: view === "all" });
      box.addEventListener("change", () => {
        set(this.#pictures, "data-view", view);
        void this.#with((viewer) => viewer.view(view));
      });
      return el("label", {}, box, el("span", {}, title));
    });
    return el("fieldset", { class: "views" }, el("legend", { class: "unseen" }, "View"), ...choices);
  }

  #keys(event: KeyboardEvent, act: (viewer: Viewer, x: number, y: number, z: number) => void): void {
    const steps: Record<string, [number, number, number]> = {
      ArrowLeft: [-1, 0, 0],
      ArrowRight: [1, 0, 0],
      ArrowUp: [0, 1, 0],
      ArrowDown: [0, -1, 0],
      PageUp: [0, 0, 1],
      PageDown: [0, 0, -1],
    };
    const step = steps[event.key];
    if (!step || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    void this.#with((viewer) => act(viewer, ...step));
  }

  #tell({ mm, intensity, label }: Place): void {
    const name = this.model.labels.find(({ value }) => value === label)?.name ?? String(label);
    this.#place.textContent = `${mm.map((one) => grouped(one, 1)).join(", ")} mm · ${Number(intensity.toPrecision(4))} · ${label === 0 ? "–" : name}`;
  }

  #tellWindow(viewer: Viewer): void {
    const [low, high] = viewer.window;
    this.#low.value = String(Number(low.toPrecision(4)));
    this.#high.value = String(Number(high.toPrecision(4)));
  }

  async #setWindow(): Promise<void> {
    const [low, high] = [this.#low.valueAsNumber, this.#high.valueAsNumber];
    await this.#with((viewer) => {
      if (low < high) viewer.window = [low, high];
      else this.#tellWindow(viewer);
    });
  }

  #usual(viewer: Viewer): void {
    viewer.window = this.#window(this.#modality.value) ?? viewer.usualWindow();
    this.#tellWindow(viewer);
  }

  #say(text: string): void {
    this.#note.textContent = text;
    this.#note.hidden = text === "";
  }
}

/** The wheel scrolls the page, unless the picture has the focus: else a reader would be stuck in it. */
function passedOver(event: Event): void {
  if (document.activeElement !== event.target) event.stopPropagation();
}

function numberField(what: string): HTMLInputElement {
  return el("input", { type: "number", step: "any", "aria-label": `Shown as ${what}` });
}

function field(name: string, control: HTMLInputElement | HTMLSelectElement): HTMLElement {
  return el("div", { class: "field" }, el("label", { for: control.id }, name), control);
}
