/** What a page holds beside its script: elements of text, base64 of gzip, each with the SHA-256 of what is inside. In
 * the folder variant `data-src` names a file beside the page instead. */

import { gunzip } from "../formats/gzip.ts";
import type { Model } from "../model.ts";
import { Refusal } from "../refusal.ts";
import { decoded } from "./golden.ts";
import { hexadecimal, digestOf, sha256 } from "./sha256.ts";

const AGAIN = "get the page again from whom you trust, or export it again";

/** Of what export writes this script can read; another is of another version. */
const FORMAT = 1;

export function damaged(what: string): Refusal {
  return new Refusal(`this page is damaged: ${what}`, AGAIN);
}

/** The bytes of a part, checked. */
export async function partOf(id: string): Promise<Uint8Array> {
  const element = elementOf(id);
  let bytes: Uint8Array;
  try {
    const { src } = element.dataset;
    bytes = src === undefined ? await gunzip(decoded(element.textContent.trim())) : await fetched(src);
  } catch {
    throw damaged(`its ${id} cannot be read`);
  }
  if ((await sha256(bytes)) !== element.dataset.sha256) throw damaged(`the SHA-256 of its ${id} differs`);
  return bytes;
}

export function holds(id: string): boolean {
  return document.getElementById(id) !== null;
}

/** Where the folder variant has a part, whose digest the browser does not need: it came with the page. */
export function placeOf(id: string): string | null {
  return elementOf(id).dataset.src ?? null;
}

/** What the page says of its model; its own text, in no way packed. */
export function modelHere(): Model {
  const element = elementOf("model");
  const text = element.textContent;
  if (hexadecimal(digestOf(new TextEncoder().encode(text))) !== element.dataset.sha256)
    throw damaged("the SHA-256 of its model differs");
  const model = JSON.parse(text) as Model;
  if (model.format !== FORMAT) throw damaged(`it is of version ${model.format}, its script of ${FORMAT}`);
  return model;
}

function elementOf(id: string): HTMLElement {
  const element = document.getElementById(id);
  if (element === null) throw damaged(`it lacks its ${id}`);
  return element;
}

async function fetched(src: string): Promise<Uint8Array> {
  const response = await fetch(src);
  if (!response.ok) throw new Error(response.statusText);
  return new Uint8Array(await response.arrayBuffer());
}
