/** The place where a case is looked at: pictures, structures, controls. Without WebGL 2 the structures are left. */

import type { Model } from "../model.ts";
import type { Done } from "../worker/messages.ts";
import { Controls } from "./controls.ts";
import { el, set } from "./dom.ts";
import { Legend } from "./legend.ts";
import type { Row } from "./state.ts";
import { drawsHere, Viewer, type View } from "./viewer.ts";
import { grouped, list, seconds } from "./words.ts";

/** A picture that keys move: screen readers then hand the keys on. */
const PICTURE = { tabindex: 0, role: "application", "aria-roledescription": "picture" };
/** Along right, anterior, superior; in 3D the first two turn. */
const STEPS: Record<string, [number, number, number]> = {
  ArrowLeft: [-1, 0, 0],
  ArrowRight: [1, 0, 0],
  ArrowUp: [0, 1, 0],
  ArrowDown: [0, -1, 0],
  PageUp: [0, 0, 1],
  PageDown: [0, 0, -1],
};
const TURN_DEGREES = 5;
const ALL_THE_SAME = "Label maps and volumes are made all the same.";

export class Stage {
  readonly element: HTMLElement;
  readonly #title = el("h2", { id: "stage-title" });
  readonly #about = el("p", { class: "faint" });
  readonly #note = el("p", { class: "note", role: "status", hidden: true });
  readonly #planes = el("canvas", PICTURE);
  readonly #solid = el("canvas", PICTURE);
  readonly #pictures: HTMLElement;
  readonly #legend: Legend;
  readonly #controls: Controls;
  readonly #draws = drawsHere();
  #viewer: Promise<Viewer | null> | null = null;
  #row: Row | null = null;

  constructor(private readonly model: Model) {
    this.#legend = new Legend(model.labels, this.#draws, {
      hide: (values) => this.#with((viewer) => viewer.hide(values)),
      lookAt: (value) => this.#with((viewer) => viewer.lookAt(value)),
    });
    this.#controls = new Controls(model.modalities, model.labels, {
      with: (act) => this.#with(act),
      view: (which) => this.#view(which),
      modality: () => void this.#draw(),
      window: (modality) => this.#window(modality),
    });
    this.#pictures = el(
      "div",
      { class: "pictures", "data-view": "all", hidden: !this.#draws },
      el("div", { class: "planes" }, this.#planes),
      el("div", { class: "solid" }, this.#solid),
    );
    this.#listen();
    const side = el(
      "div",
      { class: "side" },
      this.#legend.element,
      this.#draws ? this.#controls.element : null,
    );
    this.element = el(
      "section",
      { class: "stage", "aria-labelledby": "stage-title", hidden: true },
      el("div", { class: "heading" }, this.#title, this.#about),
      this.#note,
      el("div", { class: "columns" }, this.#pictures, side),
    );
  }

  get row(): Row | null {
    return this.#row;
  }

  /** Shows a case that is done. */
  async show(row: Row): Promise<void> {
    if (row.status.kind !== "done") return;
    const { shape, spacing_mm, seconds: took } = row.status.done;
    this.#row = row;
    this.element.hidden = false;
    this.#title.textContent = row.name;
    const millimetres = spacing_mm.map((mm) => grouped(mm, 2)).join(" × ");
    this.#about.textContent = `${shape.join(" × ")} voxels of ${millimetres} mm, segmented in ${seconds(took)}`;
    this.#legend.show(row.status.done);
    if (this.#draws) await this.#draw();
    else this.#say(`This browser draws no pictures (no WebGL 2). ${ALL_THE_SAME}`);
  }

  /** Nothing to look at any more. */
  close(): void {
    this.#row = null;
    this.element.hidden = true;
  }

  async #draw(): Promise<void> {
    const row = this.#row;
    if (row?.status.kind !== "done") return;
    const { modality } = this.#controls;
    set(this.#pictures, "aria-busy", "true");
    try {
      const viewer = await this.#made();
      if (!viewer || !(await viewer.show(row.files[modality], row.status.done, this.#window(modality))))
        return;
      set(this.#pictures, "data-none", null);
      this.#say("");
      this.#controls.tellWindow(viewer);
      this.#describe(row.name, row.status.done);
    } catch (error) {
      set(this.#pictures, "data-none", true); // or the case before would stand below this one's name
      this.#say(`This scan cannot be drawn here (${reason(error)}). Its label map is made and can be saved.`);
    } finally {
      set(this.#pictures, "aria-busy", null);
    }
  }

  /** Made with the first case: its canvases need their size. Null where it cannot be; the reason is said. */
  #made(): Promise<Viewer | null> {
    this.#viewer ??= Viewer.in(this.#planes, this.#solid, this.model.labels)
      .then((viewer) => {
        viewer.onPlace((place) => this.#controls.tellPlace(place));
        viewer.onWindow(() => this.#controls.tellWindow(viewer));
        return viewer;
      })
      .catch((error: unknown) => {
        this.#say(`Pictures cannot be drawn here (${reason(error)}). ${ALL_THE_SAME}`);
        return null;
      });
    return this.#viewer;
  }

  #with(act: (viewer: Viewer) => void): void {
    void this.#viewer?.then((viewer) => {
      if (viewer) act(viewer);
    });
  }

  #view(which: View): void {
    set(this.#pictures, "data-view", which);
    this.#with((viewer) => viewer.view(which));
  }

  /** The model's window is of its first modality. */
  #window(modality: string): [number, number] | null {
    return modality === this.model.modalities[0] ? this.model.window : null;
  }

  /** The pictures in words. */
  #describe(name: string, done: Done): void {
    const found =
      list(done.volumes.filter((one) => one.voxels > 0).map((one) => one.name)) || "nothing found";
    set(
      this.#planes,
      "aria-label",
      `Planes of ${name}, with ${found}. Arrow keys, Page Up and Page Down move them.`,
    );
    set(this.#solid, "aria-label", `In 3D: ${found}. Arrow keys turn it.`);
  }

  #listen(): void {
    this.#pictures.addEventListener("wheel", passedOver, { capture: true });
    for (const picture of [this.#planes, this.#solid]) {
      picture.addEventListener("webglcontextlost", () =>
        this.#say(`The graphics card gave up: this scan is too large for its memory. ${ALL_THE_SAME}`),
      );
    }
    this.#keys(this.#planes, (viewer, right, anterior, superior) => viewer.step(right, anterior, superior));
    this.#keys(this.#solid, (viewer, x, y) => viewer.turn(TURN_DEGREES * x, TURN_DEGREES * y));
  }

  #keys(picture: HTMLElement, act: (viewer: Viewer, x: number, y: number, z: number) => void): void {
    picture.addEventListener("keydown", (event) => {
      const step = STEPS[event.key];
      if (!step || event.ctrlKey || event.altKey || event.metaKey) return;
      event.preventDefault();
      this.#with((viewer) => act(viewer, ...step));
    });
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

function reason(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
