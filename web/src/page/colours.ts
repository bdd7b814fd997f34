/** The colours of labels as a table that NiiVue looks values up in. */

/** Channels of each entry, 0 to 255, and the label values that they are of. */
export interface Colours {
  R: number[];
  G: number[];
  B: number[];
  A: number[];
  I: number[];
}

export interface Shown {
  value: number;
  colour: readonly [number, number, number];
  alpha: number;
}

const FEWEST = 2 / 256;

/** The table of labels, the background among them, with empty entries ahead.
 *
 * NiiVue draws values above the table's least at a place of FEWEST at least, counted in shares of the table: in a table
 * of more than 64 entries the background would get the first structure's colour. Entries ahead move it beyond that.
 */
export function colourTable(shown: readonly Shown[]): Colours {
  const most = Math.max(...shown.map(({ value }) => value));
  const ahead = Math.ceil((FEWEST * (most + 1)) / (1 - FEWEST)) + 1;
  const least: Shown = { value: -ahead, colour: [0, 0, 0], alpha: 0 };
  const entries = [least, ...shown];
  return {
    R: entries.map(({ colour }) => colour[0]),
    G: entries.map(({ colour }) => colour[1]),
    B: entries.map(({ colour }) => colour[2]),
    A: entries.map(({ alpha }) => alpha),
    I: entries.map(({ value }) => value),
  };
}
