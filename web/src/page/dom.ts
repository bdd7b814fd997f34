/** Elements without markup: text goes in as text, whatever a file is called. There is no other way into the page. */

type Attribute = string | number | boolean | null;
export type Attributes = Record<string, Attribute>;
export type Content = Node | string | null;

/** An element with attributes (null and false: left out, true: empty) and children; strings become text. */
export function el<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: Content[]
): HTMLElementTagNameMap[K] {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) set(made, name, value);
  made.append(...children.filter((child) => child !== null));
  return made;
}

/** A button that is no submit button, with what it does. */
export function button(attributes: Attributes, act: () => void, ...children: Content[]): HTMLButtonElement {
  const made = el("button", { type: "button", ...attributes }, ...children);
  made.addEventListener("click", act);
  return made;
}

/** Sets, or with null and false removes, an attribute that is neither a style nor a script. */
export function set(element: Element, name: string, value: Attribute): void {
  if (name === "style" || name.startsWith("on")) throw new Error(`${name} is none of the page's attributes`);
  if (value === null || value === false) element.removeAttribute(name);
  else element.setAttribute(name, value === true ? "" : String(value));
}

/** Replaces what an element holds. */
export function fill(element: Element, ...children: Content[]): void {
  element.replaceChildren(...children.filter((child) => child !== null));
}

let made = 0;

/** An id that nothing else in the page has, to tie a label to its field. */
export function fresh(name: string): string {
  made += 1;
  return `${name}-${made}`;
}
