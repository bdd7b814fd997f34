/** Why a person may believe the page, and how far: nothing leaves, it was checked here and now, it is no device. */

import type { Golden } from "../worker/messages.ts";
import { el, fill, set } from "./dom.ts";
import { icon, type Icon } from "./icons.ts";
import { count, grouped } from "./words.ts";

export class Trust {
  readonly element: HTMLElement;
  readonly #words = el("span", { role: "status" });
  readonly #verdict = el("li", {});
  readonly #refusal = el("div", { class: "refusal", role: "alert", hidden: true });

  constructor() {
    this.element = el(
      "div",
      {},
      el(
        "ul",
        { class: "trust" },
        el("li", {}, icon("lock"), el("span", {}, el("b", {}, "Nothing leaves this machine"))),
        this.#verdict,
        el("li", {}, icon("note"), el("span", {}, el("b", {}, "Not a medical device"))),
      ),
      this.#refusal,
    );
    this.#tell("dots", "busy", "Checking the model…", " It segments a case on board first.");
  }

  /** Whether cases may be segmented after this verdict. */
  judged(golden: Golden): boolean {
    if (golden.equal === null) {
      this.#tell("note", "", "Equal to the exporter: not checked.", " There is no case on board.");
      return true;
    }
    const differ = `${grouped(golden.differ, 0)} of ${count(golden.voxels, "voxel")} of a case on board`;
    if (golden.equal) {
      this.#tell("check", "good", "Equal to the exporter: yes.", ` ${differ} differ.`);
      return true;
    }
    this.#tell("warn", "bad", "Equal to the exporter: no.", ` ${differ} differ.`);
    this.refuse(
      "This browser does not compute what the exporter did, so nothing is segmented here: try another browser, or another machine.",
    );
    return false;
  }

  /** There is no model, or none that may be used: why, in one line. */
  refuse(why: string): void {
    if (this.#verdict.dataset.kind === "busy") this.#tell("warn", "bad", "The model cannot be used.", "");
    fill(this.#refusal, icon("warn"), el("p", {}, why));
    this.#refusal.hidden = false;
  }

  #tell(drawing: Icon, kind: string, what: string, more: string): void {
    set(this.#verdict, "data-kind", kind);
    fill(this.#words, el("b", {}, what), more);
    fill(this.#verdict, icon(drawing), this.#words);
  }
}
