/** What a screen reader says while the page works: a case begins, every quarter of it, and how it ended. */

import { el } from "./dom.ts";
import type { Row } from "./state.ts";
import { list, millilitres, stage } from "./words.ts";

export class Announcer {
  readonly element = el("p", { class: "unseen", role: "status", "aria-live": "polite" });
  #quarter = "";

  say(text: string): void {
    this.element.textContent = text;
  }

  /** To be told of each change of a row. */
  follow({ name, status }: Row): void {
    if (status.kind === "running") {
      const told = status.told;
      const share = told !== null && told.of > 0 ? Math.floor((4 * told.window) / told.of) : 0;
      const quarter = `${name} ${share}`;
      if (quarter === this.#quarter) return;
      this.#quarter = quarter;
      this.say(`${name}: ${stage(told)}`);
    } else if (status.kind === "done") {
      const volumes = status.done.volumes.map((one) => `${one.name} ${millilitres(one.ml)} millilitres`);
      this.say(`${name} is done. ${list(volumes)}.`);
    } else if (status.kind === "refused") {
      this.say(`${name} cannot be segmented: ${status.why}`);
    } else if (status.kind === "cancelled") {
      this.say(`${name} is cancelled.`);
    } else if (status.kind === "unsure") {
      this.say(`Which scan is ${name}? Its name does not say it.`);
    } else if (status.kind === "incomplete") {
      this.say(`${name} still needs ${list(status.missing)}.`);
    }
  }
}
