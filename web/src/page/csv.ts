/** Volumes as a table for a spreadsheet: a line a case, a column a structure, in millilitres.
 *
 * RFC 4180, UTF-8. A text that a spreadsheet would take for a formula gets an apostrophe ahead.
 */

import type { Label } from "../model.ts";
import type { Volume } from "../worker/messages.ts";

export interface Line {
  name: string;
  volumes: readonly Volume[] | null;
  seconds: number | null;
  problem: string;
}

export function csv(lines: readonly Line[], labels: readonly Label[], digest: string): string {
  const found = labels.filter((label) => label.value !== 0);
  const head = ["case", ...found.map((label) => `${label.name} [ml]`), "seconds", "model", "problem"];
  const rows = lines.map((line) => [
    line.name,
    ...found.map(({ value }) => number(line.volumes?.find((one) => one.value === value)?.ml)),
    number(line.seconds ?? undefined),
    digest,
    line.problem,
  ]);
  return [head, ...rows].map((cells) => `${cells.map(cell).join(",")}\r\n`).join("");
}

function number(value: number | undefined): string {
  return value === undefined ? "" : String(Number(value.toFixed(4)));
}

function cell(text: string): string {
  const harmless = /^[=+\-@\t\r]/.test(text) && Number.isNaN(Number(text)) ? `'${text}` : text;
  return /[",\r\n]/.test(harmless) ? `"${harmless.replaceAll('"', '""')}"` : harmless;
}
