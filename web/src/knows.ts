/** What the mirror knows of a plan and of an inferer; `distilseg export --to web` reads it from the built files and
 * refuses everything else by name. */

import { KINDS } from "./runtime/normalise.ts";

export const KNOWS = {
  preparation: ["plan"],
  interpolation: ["linear"],
  crop: ["none", "nonzero", "center"],
  normalisation: KINDS,
  inferer: ["sliding_window", "fitted_windows", "slices", "slabs"],
  answers: ["classes", "regions"],
  fusion: ["vote", "mean", "threshold", "organs"],
};
