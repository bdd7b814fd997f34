/** All cases, and what can be done with all of them. */

import type { Label } from "../model.ts";
import { button, el, set } from "./dom.ts";
import { icon } from "./icons.ts";
import { RowView, type Actions } from "./row.ts";
import type { Row, Rows } from "./state.ts";
import { count } from "./words.ts";

const MOST_COLUMNS = 6; // of volumes; more are told beside the picture and in the CSV

export interface AllActions extends Actions {
  saveAll(): void;
  saveVolumes(): void;
  cancelAll(): void;
  clear(): void;
}

export class Table {
  readonly element: HTMLElement;
  readonly #views = new Map<Row, RowView>();
  readonly #body = el("tbody");
  readonly #summary = el("p", { class: "faint" });
  readonly #zip: HTMLButtonElement;
  readonly #csv: HTMLButtonElement;
  readonly #cancel: HTMLButtonElement;
  readonly #clear: HTMLButtonElement;
  readonly #columns: readonly Label[];

  constructor(
    private readonly rows: Rows,
    labels: readonly Label[],
    private readonly actions: AllActions,
  ) {
    const found = labels.filter(({ value }) => value !== 0);
    this.#columns = found.length > MOST_COLUMNS ? [] : found;
    this.#zip = button({ class: "main" }, () => actions.saveAll(), icon("save"), "Save all as zip");
    this.#csv = button({}, () => actions.saveVolumes(), "Volumes as CSV");
    this.#cancel = button({}, () => actions.cancelAll(), "Cancel all");
    this.#clear = button({ class: "quiet" }, () => actions.clear(), "Clear");
    this.element = el(
      "section",
      { class: "scans", "aria-labelledby": "scans-title", hidden: true },
      el(
        "div",
        { class: "heading" },
        el("div", {}, el("h2", { id: "scans-title" }, "Scans"), this.#summary),
        el("div", { class: "actions" }, this.#cancel, this.#clear, this.#csv, this.#zip),
      ),
      el("div", { class: "scroll" }, el("table", {}, el("thead", {}, this.#head()), this.#body)),
    );
    rows.listen((what, row) => this.#follow(what, row));
  }

  /** Marks the case that is looked at. */
  set current(row: Row | null) {
    for (const [one, view] of this.#views) view.current = one === row;
  }

  #head(): HTMLTableRowElement {
    return el(
      "tr",
      {},
      el("th", { scope: "col" }, "Case"),
      el("th", { scope: "col" }, "Status"),
      ...this.#columns.map(({ name, colour }) => {
        const swatch = el("span", { class: "swatch", "aria-hidden": "true" });
        swatch.style.setProperty("--colour", `rgb(${colour.join(" ")})`);
        return el("th", { scope: "col", class: "n" }, swatch, name);
      }),
      el("th", { scope: "col" }, el("span", { class: "unseen" }, "Label map")),
    );
  }

  #follow(what: "added" | "removed" | "changed", row: Row): void {
    if (what === "added") {
      const view = new RowView(row, this.rows.modalities, this.#columns, this.actions);
      this.#views.set(row, view);
      this.#body.append(view.element);
    } else if (what === "removed") {
      this.#views.get(row)?.element.remove();
      this.#views.delete(row);
    } else {
      this.#views.get(row)?.update();
      if (row.status.kind === "running" && row.status.told !== null) return;
    }
    this.#tell();
  }

  #tell(): void {
    const { rows } = this;
    const [all, done, refused] = [rows.all.length, rows.of("done").length, rows.of("refused").length];
    const busy = rows.of("waiting").length + rows.of("running").length;
    this.element.hidden = all === 0;
    this.#summary.textContent = [
      busy > 0 ? `${done} of ${count(all, "case")} done` : `${count(done, "case")} done`,
      refused > 0 ? `${refused} refused` : "",
    ]
      .filter(Boolean)
      .join(", ");
    set(this.#zip, "hidden", done < 2);
    set(this.#csv, "hidden", done < 1);
    set(this.#cancel, "hidden", busy < 2);
    set(this.#clear, "hidden", busy > 0);
  }
}
