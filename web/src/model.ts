/** What a page knows of the model that it is: made by `distilseg export --to web`, embedded as JSON, believed
 * because its element carries its SHA-256 (`worker/embedded.ts`). All of it is text and numbers; text that others wrote (names,
 * card, licences) goes into the page by `textContent` alone. */

/** A value of the label map. The background is among them, with value 0, first. */
export interface Label {
  value: number;
  name: string;
  /** sRGB, 0 to 255; the background's is black. Told apart with any colour vision, bright on grey scans. */
  colour: [number, number, number];
}

export interface Normalisation {
  kind: string;
  low?: number;
  high?: number;
  mean?: number;
  std?: number;
}

/** Of plan.json what prepares a scan; fields as there. */
export interface Plan {
  modalities: string[];
  /** Label values, ascending: class index k stands for the k-th of them. */
  label_values: number[];
  /** Name of each region -> the label values that it unites, outermost first; empty: the network answers classes. */
  regions: Record<string, number[]>;
  /** Voxels of training: only whether it is of single slices matters here. */
  patch: [number, number, number];
  orientation: string;
  spacing_mm: [number, number, number];
  crop: "none" | "nonzero" | "center";
  crop_voxels?: [number, number, number];
  normalisation: Record<string, Normalisation>;
}

/** How a volume is cut and put together, as `inferer` of artefact.json; `kind` says which fields there are. */
export type Inferer = { kind: string } & Record<string, unknown>;

/** One of the networks: most models have one, views that answer as one have several. */
export interface View {
  /** Name of the file, for messages, and its SHA-256: checked before it is run. */
  network: string;
  sha256: string;
  bytes: number;
  inferer: Inferer;
  answers: "classes" | "regions";
  plan: Plan;
  /** Which of the structures it is of, where views are of one organ each. */
  organ?: number;
}

/** What becomes of several views. */
export interface Fusion {
  how: string;
  threshold: number;
}

export interface Model {
  format: 1;
  /** The run's name, such as "supervised-1f2e3d". */
  name: string;
  /** What a person calls it: "student_tiny on Task04_Hippocampus, by supervised". */
  title: string;
  /** Version of distilseg that made the page. */
  version: string;
  /** SHA-256 of artefact.json: which model a label map came from. */
  digest: string;
  /** The model card, Markdown. */
  card: string;
  /** A line for each source of which somebody may hold rights: data, teachers, first weights. */
  licences: string[];
  /** Licences of the programs inside the page: onnxruntime-web, NiiVue and what they bring, as text. */
  programs: string;
  /** Modalities in their order; files are found for each by its name or `_0000`, `_0001`... */
  modalities: string[];
  labels: Label[];
  /** Of the label maps that are written: the labels' plan. Views have their own for preparation. */
  plan: Plan;
  views: View[];
  fusion: Fusion | null;
  /** What intensities of the first modality to show at first, those that the plan keeps; null: the viewer's choice. */
  window: [number, number] | null;
}
