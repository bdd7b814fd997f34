/** Numbers and states in words: every sentence that counts or measures is made here. */

import type { Progress } from "../worker/messages.ts";

/** Millilitres with three digits that say something: "0.12", "4.56", "12.3", "1,234". */
export function millilitres(ml: number): string {
  const decimals = ml < 10 ? 2 : ml < 100 ? 1 : 0;
  return grouped(ml, decimals);
}

export function seconds(s: number): string {
  if (s < 60) return `${s < 10 ? s.toFixed(1) : s.toFixed(0)} s`;
  const whole = Math.round(s);
  return `${Math.floor(whole / 60)} min ${whole % 60} s`;
}

/** "1 scan", "2 scans". */
export function count(number: number, one: string, many = `${one}s`): string {
  return `${grouped(number, 0)} ${number === 1 ? one : many}`;
}

/** "a", "a and b", "a, b and c"; of many the first few: "a, b and 102 more". */
export function list(names: readonly string[], most = 6): string {
  const shown =
    names.length > most ? [...names.slice(0, most - 1), `${names.length - most + 1} more`] : names;
  return shown.length < 2 ? shown.join("") : `${shown.slice(0, -1).join(", ")} and ${shown.at(-1)}`;
}

/** What happens to a case just now. */
export function stage(told: Progress | null): string {
  if (told === null) return "Starting";
  if (told.stage === "network") return told.of > 0 ? `Window ${told.window} of ${told.of}` : "Segmenting";
  return { reading: "Reading", preparing: "Preparing", labels: "Making the label map", writing: "Finishing" }[
    told.stage
  ];
}

export function bytes(size: number): string {
  return size < 1e6 ? `${grouped(size / 1e3, 0)} kB` : `${grouped(size / 1e6, size < 1e7 ? 1 : 0)} MB`;
}

/** English digits whatever the browser's language: the page speaks one. */
export function grouped(value: number, decimals: number): string {
  const shown = Number(value.toFixed(decimals)) || 0; // and not -0
  return shown.toLocaleString("en-GB", { minimumFractionDigits: decimals, maximumFractionDigits: decimals });
}
