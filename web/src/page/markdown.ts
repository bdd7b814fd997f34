/** The model card's Markdown as elements: headings, paragraphs, lists, tables and code as `distilseg export` writes
 * them. Links become text, markup of others stays text; what is not known stays as it is spelt. */

import { el, type Content } from "./dom.ts";

/** Elements for the card; its headings begin at h3, below the page's own. */
export function markdown(text: string): HTMLElement[] {
  const lines = text.split(/\r?\n/);
  const made: HTMLElement[] = [];
  let at = 0;
  const run = (belongs: (line: string) => boolean): string[] => {
    const from = at;
    while (at < lines.length && belongs(lines[at])) at += 1;
    return lines.slice(from, at);
  };
  while (at < lines.length) {
    const line = lines[at];
    if (line.startsWith("```")) {
      at += 1;
      made.push(el("pre", {}, el("code", {}, run((one) => !one.startsWith("```")).join("\n"))));
      at += 1;
    } else if (/^#{1,6} /.test(line)) {
      const depth = Math.min(6, line.indexOf(" ") + 2) as 3 | 4 | 5 | 6;
      made.push(el(`h${depth}`, {}, ...inline(line.slice(line.indexOf(" ") + 1))));
      at += 1;
    } else if (line.startsWith("|")) {
      made.push(table(run((one) => one.startsWith("|"))));
    } else if (/^[-*] /.test(line)) {
      const items = run((one) => /^([-*] |  +\S)/.test(one))
        .join("\n")
        .split(/\n?^[-*] /m)
        .filter(Boolean);
      made.push(el("ul", {}, ...items.map((item) => el("li", {}, ...inline(item.replaceAll(/\s+/g, " "))))));
    } else if (line.trim() === "") {
      at += 1;
    } else {
      at += 1;
      const more = run((one) => one.trim() !== "" && !/^(#{1,6} |[-*] |\||```)/.test(one));
      made.push(el("p", {}, ...inline([line, ...more].join(" "))));
    }
  }
  return made;
}

/** What stands below a heading of the second level, up to the next; "" where there is none of that name. */
export function section(text: string, title: string): string {
  const [, ...sections] = text.split(/^## /m);
  const found = sections.find((one) => one.split(/\r?\n/, 1)[0].trim() === title);
  return found ? found.slice(found.indexOf("\n") + 1).trim() : "";
}

/** Cells of the lines of a table, of which there is one at least; the rule below the head is left out. */
export function rows(lines: readonly string[]): string[][] {
  return lines
    .filter((line, n) => n !== 1 || !/^\|[\s:|-]+$/.test(line))
    .map((line) => line.replace(/^\||\|\s*$/g, "").split("|"))
    .map((cells) => cells.map((cell) => cell.trim().replaceAll("± ", "±\u00a0")));
}

function table(lines: readonly string[]): HTMLElement {
  const [head, ...body] = rows(lines);
  const cells = (tag: "th" | "td", row: readonly string[]): HTMLElement[] =>
    row.map((cell) => el(tag, tag === "th" ? { scope: "col" } : {}, ...inline(cell)));
  const made = el(
    "table",
    {},
    el("thead", {}, el("tr", {}, ...cells("th", head))),
    el("tbody", {}, ...body.map((row) => el("tr", {}, ...cells("td", row)))),
  );
  return el("div", { class: "scroll", tabindex: 0 }, made);
}

/** Pieces of a line: `code`, **strong**, [text](address) without its address, and entities of numbers. */
export function pieces(line: string): { kind: "text" | "code" | "strong"; text: string }[] {
  return line
    .split(/(`[^`]+`|\*\*[^*]+\*\*|\[[^\]]+\]\([^)\s]*\))/)
    .filter((piece) => piece !== "")
    .map((piece) => {
      if (/^`.+`$/.test(piece)) return { kind: "code", text: piece.slice(1, -1) };
      if (/^\*\*.+\*\*$/.test(piece)) return { kind: "strong", text: entities(piece.slice(2, -2)) };
      return { kind: "text", text: entities(piece.replace(/^\[([^\]]+)\]\(.*\)$/, "$1")) };
    });
}

function inline(line: string): Content[] {
  return pieces(line).map(({ kind, text }) => (kind === "text" ? text : el(kind, {}, text)));
}

function entities(text: string): string {
  return text.replaceAll(/&#(\d{1,6});/g, (_, code: string) => String.fromCodePoint(Number(code)));
}
