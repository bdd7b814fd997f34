/** A scan with its label map, drawn by NiiVue: three planes in one canvas, the structures in 3D in another.
 *
 * The only file that knows NiiVue. Drawing needs WebGL 2; a machine without segments and saves all the same.
 */

import { Niivue, NVImage, SHOW_RENDER, SLICE_TYPE, type NiiVueLocation } from "@niivue/niivue";

import { plainScan } from "../formats/nifti.ts";
import type { Label } from "../model.ts";
import type { Done } from "../worker/messages.ts";
import { colourTable, type Colours } from "./colours.ts";
import { middles, millimetres } from "./middle.ts";

export type View = "all" | "axial" | "coronal" | "sagittal" | "3d";

/** A place in the patient, RAS in millimetres, the scan's value there and the label's. */
export interface Place {
  mm: [number, number, number];
  intensity: number;
  label: number;
}

const SLICES = {
  all: SLICE_TYPE.MULTIPLANAR,
  axial: SLICE_TYPE.AXIAL,
  coronal: SLICE_TYPE.CORONAL,
  sagittal: SLICE_TYPE.SAGITTAL,
};
/** Three quarters of the canvas; on the fourth lies the canvas of 3D. Left, top, width, height. */
const QUARTERS = [
  { sliceType: SLICE_TYPE.AXIAL, position: [0, 0, 0.496, 0.496] },
  { sliceType: SLICE_TYPE.CORONAL, position: [0.504, 0, 0.496, 0.496] },
  { sliceType: SLICE_TYPE.SAGITTAL, position: [0, 0.504, 0.496, 0.496] },
] satisfies { sliceType: SLICE_TYPE; position: [number, number, number, number] }[];
const SHARED = {
  backColor: [0, 0, 0, 1],
  crosshairColor: [1, 1, 1, 0.55],
  fontColor: [1, 1, 1, 0.75],
  crosshairWidth: 0.4,
  crosshairWidthUnit: "percent" as const,
  crosshairGap: 5,
  showAllOrientationMarkers: true,
  fontMinPx: 15,
  tileMargin: 0,
  show3Dcrosshair: false,
  isOrientCube: false,
  isRadiologicalConvention: true,
  dragAndDropEnabled: false,
  multiplanarShowRender: SHOW_RENDER.NEVER,
  isNearestInterpolation: true,
  scrollRequiresFocus: true,
  loadingText: "",
  viewModeHotKey: "",
  clipPlaneHotKey: "",
  cycleClipPlaneHotKey: "",
  logLevel: "silent" as const,
};

/** Whether this browser draws in 3D; asked before a viewer is made. */
export function drawsHere(): boolean {
  const context = document.createElement("canvas").getContext("webgl2");
  context?.getExtension("WEBGL_lose_context")?.loseContext();
  return context !== null;
}

export class Viewer {
  readonly #planes = new Niivue({ ...SHARED });
  readonly #solid = new Niivue({ ...SHARED, sliceType: SLICE_TYPE.RENDER });
  #middles = new Map<number, [number, number, number]>();
  #shown = 0; // which call of `show` is the last: slower ones before it are dropped
  #hidden: ReadonlySet<number> = new Set();
  #opacity = 0.6;

  private constructor(private readonly labels: readonly Label[]) {}

  /** Draws into two canvases that are in the page already. Throws where NiiVue cannot. */
  static async in(
    planes: HTMLCanvasElement,
    solid: HTMLCanvasElement,
    labels: readonly Label[],
  ): Promise<Viewer> {
    const made = new Viewer(labels);
    for (const niivue of [made.#planes, made.#solid]) smoothScan(niivue);
    await made.#planes.attachToCanvas(planes, true);
    await made.#solid.attachToCanvas(solid, true);
    await made.#solid.setVolumeRenderIllumination(0.6);
    made.view("all");
    return made;
  }

  /** Shows a scan with its label map; false where another was asked for meanwhile. `window`: black and white. */
  async show(scan: File, done: Done, window: readonly [number, number] | null): Promise<boolean> {
    this.#shown += 1;
    const mine = this.#shown;
    const labels = (): Promise<NVImage> =>
      loaded(new File([done.file as Uint8Array<ArrayBuffer>], "labels.nii.gz"));
    const [base, over, solid] = [await loaded(await plainScan(scan)), await labels(), await labels()];
    if (mine !== this.#shown) return false;
    if (window) [base.cal_min, base.cal_max] = window;
    over.opacity = this.#opacity;
    for (const map of [over, solid]) map.setColormapLabel(this.#colours());
    replaced(this.#planes, [base, over]);
    replaced(this.#solid, [solid]);
    this.#solid.setRenderAzimuthElevation(110, 15);
    const { affine } = over.hdr!; // NiiVue's, whose millimetres these are
    this.#middles = new Map(
      [...middles(over.img!, done.shape)].map(([value, voxel]) => [value, millimetres(affine, voxel)]),
    );
    const largest = [...done.volumes].sort((one, other) => other.voxels - one.voxels).at(0);
    if (largest) this.lookAt(largest.value);
    return true;
  }

  /** Moves the planes into a structure. */
  lookAt(value: number): void {
    const mm = this.#middles.get(value);
    if (!mm) return;
    this.#planes.scene.crosshairPos = this.#planes.mm2frac(mm);
    this.#planes.createOnLocationChange();
    this.#planes.drawScene();
  }

  view(which: View): void {
    if (which === "3d") return this.#solid.resizeListener();
    if (which === "all") this.#planes.setCustomLayout(QUARTERS);
    else this.#planes.clearCustomLayout();
    this.#planes.setSliceType(SLICES[which]);
    this.#planes.resizeListener();
    this.#solid.resizeListener();
  }

  hide(values: ReadonlySet<number>): void {
    this.#hidden = values;
    for (const viewer of [this.#planes, this.#solid]) {
      const map = viewer.volumes.at(-1);
      if (!map) continue;
      map.setColormapLabel(this.#colours());
      viewer.updateGLVolume();
    }
  }

  set opacity(share: number) {
    this.#opacity = share;
    if (this.#planes.volumes.length > 1) this.#planes.setOpacity(1, share);
  }

  set radiological(yes: boolean) {
    this.#planes.setRadiologicalConvention(yes);
  }

  /** What is shown as black and as white. */
  get window(): [number, number] {
    const [base] = this.#planes.volumes;
    return [base?.cal_min ?? 0, base?.cal_max ?? 1];
  }

  set window([black, white]: readonly [number, number]) {
    const [base] = this.#planes.volumes;
    if (!base) return;
    [base.cal_min, base.cal_max] = [black, white];
    this.#planes.updateGLVolume();
  }

  /** The window that suits the scan: without the darkest and the brightest two hundredths. */
  usualWindow(): [number, number] {
    const [base] = this.#planes.volumes;
    return [base?.robust_min ?? 0, base?.robust_max ?? 1];
  }

  /** Moves the planes by voxels along right, anterior, superior. */
  step(right: number, anterior: number, superior: number): void {
    this.#planes.moveCrosshairInVox(right, anterior, superior);
  }

  turn(azimuth: number, elevation: number): void {
    const { renderAzimuth, renderElevation } = this.#solid.scene;
    this.#solid.setRenderAzimuthElevation(renderAzimuth + azimuth, renderElevation + elevation);
  }

  onPlace(tell: (place: Place) => void): void {
    this.#planes.onLocationChange = (told) => {
      const { mm, values } = told as NiiVueLocation;
      const [base, over] = values;
      if (base && over) tell({ mm: [mm[0], mm[1], mm[2]], intensity: base.value, label: over.value });
    };
  }

  onWindow(tell: () => void): void {
    this.#planes.onIntensityChange = tell;
  }

  #colours(): Colours {
    const shown = this.labels.map(({ value, colour }) => {
      return { value, colour, alpha: value === 0 || this.#hidden.has(value) ? 0 : 255 };
    });
    return colourTable(shown);
  }
}

/** Scans are drawn smooth, labels as the voxels that they are; NiiVue knows either for both. */
function smoothScan(niivue: Niivue): void {
  const usual = niivue.updateInterpolation.bind(niivue);
  niivue.updateInterpolation = (layer, smooth) => usual(layer, smooth || layer === 0);
}

async function loaded(file: File): Promise<NVImage> {
  return NVImage.loadFromFile({ file, colormap: "gray" });
}

/** All at once: each volume that NiiVue is given by itself has it draw all others anew. */
function replaced(viewer: Niivue, volumes: readonly NVImage[]): void {
  viewer.volumes = volumes.slice(0, -1);
  viewer.addVolume(volumes[volumes.length - 1]);
}
