/** A case in the table: its name, how it stands, volumes, and what can be done with it. */

import type { Label } from "../model.ts";
import { button, el, fill, set, type Content } from "./dom.ts";
import { icon } from "./icons.ts";
import type { Row } from "./state.ts";
import { list, millilitres, seconds, stage } from "./words.ts";

export interface Actions {
  view(row: Row): void;
  save(row: Row): void;
  cancel(row: Row): void;
  again(row: Row): void;
  tell(row: Row, modality: string): void;
  remove(row: Row): void;
}

export class RowView {
  readonly element: HTMLTableRowElement;
  readonly #name: HTMLButtonElement;
  readonly #status = el("td", { class: "status" });
  readonly #volumes: HTMLTableCellElement[];
  readonly #actions = el("td", { class: "act" });
  readonly #bar = el("progress", { max: 1, value: 0 });
  readonly #stage = el("span", {});
  #drawn = "";

  /** A column for each of `columns`. */
  constructor(
    private readonly row: Row,
    private readonly modalities: readonly string[],
    private readonly columns: readonly Label[],
    private readonly actions: Actions,
  ) {
    this.#name = button({ class: "case" }, () => actions.view(row), row.name);
    this.#volumes = columns.map(({ name }) => el("td", { class: "n", "data-label": name }));
    this.element = el(
      "tr",
      {},
      el("th", { scope: "row" }, this.#name),
      this.#status,
      ...this.#volumes,
      this.#actions,
    );
    this.element.addEventListener("click", ({ target }) => {
      if (row.status.kind === "done" && target instanceof Element && !target.closest("button"))
        actions.view(row);
    });
    set(this.#bar, "aria-label", `Progress of ${row.name}`);
    this.update();
  }

  /** Draws the status anew; while it runs only the bar moves, so that the focus stays on its button. */
  update(): void {
    const { status } = this.row;
    if (status.kind === "running") {
      const { told } = status;
      if (told !== null && told.of > 0) this.#bar.value = told.window / told.of;
      else this.#bar.removeAttribute("value");
      this.#stage.textContent = stage(told);
    }
    const drawn = status.kind === "done" ? `done ${status.saved}` : status.kind;
    if (drawn === this.#drawn) return;
    this.#drawn = drawn;
    const held = this.element.contains(document.activeElement) && document.activeElement !== this.#name;
    set(this.element, "data-status", status.kind);
    set(this.#name, "disabled", status.kind !== "done");
    fill(this.#status, ...this.#told());
    fill(this.#actions, this.#action());
    this.columns.forEach(({ value }, column) => {
      const volume = status.kind === "done" ? status.done.volumes.find((one) => one.value === value) : null;
      this.#volumes[column].textContent = volume ? `${millilitres(volume.ml)} ml` : "";
    });
    if (held) (this.#actions.querySelector("button") ?? this.#name).focus();
  }

  set current(yes: boolean) {
    set(this.element, "aria-current", yes ? "true" : null);
  }

  #told(): Content[] {
    const { status } = this.row;
    switch (status.kind) {
      case "unsure":
        return [this.#question()];
      case "incomplete":
        return [el("span", {}, `Add ${list(status.missing)} of this case`)];
      case "waiting":
        return [el("span", { class: "faint" }, "Waiting")];
      case "running":
        return [this.#bar, this.#stage];
      case "done":
        return [el("span", { class: "good" }, icon("check"), `Done in ${seconds(status.done.seconds)}`)];
      case "refused":
        return [
          el("span", { class: "bad" }, icon("warn"), el("span", {}, withoutName(status.why, this.row.name))),
        ];
      case "cancelled":
        return [el("span", { class: "faint" }, "Cancelled")];
    }
  }

  /** Asks which scan this is, where the name does not say it. */
  #question(): HTMLElement {
    const choice = el(
      "select",
      {},
      el("option", { value: "" }, "choose…"),
      ...this.modalities.map((modality) => el("option", { value: modality }, modality)),
    );
    choice.addEventListener("change", () => {
      if (choice.value) this.actions.tell(this.row, choice.value);
    });
    return el("label", {}, "Which scan is this? ", choice);
  }

  #action(): HTMLElement {
    const { row, actions } = this;
    switch (row.status.kind) {
      case "done":
        return button(
          { "aria-label": `Save the label map of ${row.name}` },
          () => actions.save(row),
          icon(row.status.saved ? "check" : "save"),
          row.status.saved ? "Saved" : "Save",
        );
      case "waiting":
      case "running":
        return button({ "aria-label": `Cancel ${row.name}` }, () => actions.cancel(row), "Cancel");
      case "cancelled":
        return button({ "aria-label": `Segment ${row.name} again` }, () => actions.again(row), "Again");
      default:
        return button(
          { class: "quiet", "aria-label": `Remove ${row.name}` },
          () => actions.remove(row),
          "Remove",
        );
    }
  }
}

/** The name stands beside it already. */
function withoutName(why: string, name: string): string {
  const ahead = `case ${name}: `;
  return why.startsWith(ahead) ? why.slice(ahead.length) : why;
}
