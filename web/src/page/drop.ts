/** Where scans come in: dropped anywhere on the page, or chosen with two buttons. */

import { scansIn, type Found } from "./cases.ts";
import { button, el, set } from "./dom.ts";
import { icon } from "./icons.ts";
import { chosen, dropped } from "./walk.ts";
import { count, list } from "./words.ts";

export class Drop {
  readonly element: HTMLElement;
  readonly #told = el("p", { class: "faint", role: "status" });
  #open = true;

  /** `take` gets the files that may be scans. */
  constructor(
    modalities: readonly string[],
    private readonly take: (found: Found[]) => void,
  ) {
    const files = el("input", {
      type: "file",
      multiple: true,
      class: "unseen",
      tabindex: -1,
      "aria-hidden": "true",
    });
    const folder = el("input", {
      type: "file",
      multiple: true,
      class: "unseen",
      tabindex: -1,
      "aria-hidden": "true",
    });
    folder.webkitdirectory = true;
    files.addEventListener("change", () => this.#chosen(files, false));
    folder.addEventListener("change", () => this.#chosen(folder, true));
    this.element = el(
      "section",
      { class: "drop", "aria-labelledby": "drop-title" },
      icon("scan"),
      el(
        "h2",
        { id: "drop-title" },
        matchMedia("(hover: none)").matches ? "Choose scans" : "Drop scans here",
      ),
      el("p", { class: "faint" }, expected(modalities)),
      el(
        "div",
        { class: "actions" },
        button({ class: "main" }, () => files.click(), "Choose files"),
        "webkitdirectory" in HTMLInputElement.prototype
          ? button({}, () => folder.click(), "Choose a folder")
          : null,
      ),
      this.#told,
      files,
      folder,
    );
    this.#listen();
  }

  /** A strip, once there are scans below it. */
  set small(yes: boolean) {
    this.element.classList.toggle("small", yes);
  }

  /** Where the focus goes when what had it is gone. */
  focus(): void {
    this.element.querySelector("button")?.focus();
  }

  /** Nothing can be segmented here. */
  close(): void {
    this.#open = false;
    this.element.hidden = true;
  }

  #listen(): void {
    let inside = 0; // entered elements, less those left
    const over = (entered: number): void => {
      inside = Math.max(0, entered);
      set(document.body, "data-over", this.#open && inside > 0);
    };
    document.addEventListener("dragenter", () => over(inside + 1));
    document.addEventListener("dragleave", () => over(inside - 1));
    document.addEventListener("dragover", (event) => event.preventDefault());
    document.addEventListener("drop", (event) => {
      event.preventDefault();
      over(0);
      if (this.#open && event.dataTransfer) void this.#dropped(event.dataTransfer.items);
    });
  }

  #chosen(input: HTMLInputElement, ofFolder: boolean): void {
    const found = chosen(input.files ?? []);
    input.value = ""; // or the same choice would change nothing
    this.#give(ofFolder ? [] : found, ofFolder ? found : [], []);
  }

  async #dropped(items: DataTransferItemList): Promise<void> {
    const { files, inFolders, closed } = await dropped(items);
    this.#give(files, inFolders, closed);
  }

  #give(files: Found[], inFolders: Found[], closed: readonly string[]): void {
    const { scans, others } = scansIn(inFolders);
    const notes = [
      others > 0 &&
        `${count(others, "file")} of the folder ${others === 1 ? "is no scan" : "are no scans"} and left alone.`,
      inFolders.length > 0 && scans.length === 0 && "There is no scan in it that ends in .nii or .nii.gz.",
      closed.length > 0 && `The browser does not open ${list(closed)} here: use “Choose a folder”.`,
    ];
    this.#told.textContent = notes.filter(Boolean).join(" ");
    this.take([...files, ...scans]);
  }
}

function expected(modalities: readonly string[]): string {
  if (modalities.length === 1) return `${modalities[0]}, as NIfTI files (.nii or .nii.gz). One scan or many.`;
  const named = modalities.map((modality, number) => `a_${String(number).padStart(4, "0")} or a_${modality}`);
  return `NIfTI files (.nii or .nii.gz), ${modalities.length} a case: ${list(modalities)}. Named, for a case “a”, ${list(named)}.`;
}
