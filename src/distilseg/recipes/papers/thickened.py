"""Rows of Yu et al., thickened 2D networks, 2019."""

from __future__ import annotations

from .tables import Data, Paper, Row, Table

_VESSELS = "distilseg train thickened_msd_hepatic_vessel --data MSD_HEPATIC_VESSEL"
_PATCHES = "distilseg train thickened_3d_msd_hepatic_vessel --data MSD_HEPATIC_VESSEL"
_PLAIN = "--head none --no-multiplexing"
_OWN_SCANS = (
    "published for an artery in the hospital's own 200 CTs, which nobody outside can have; the commands make"
    " the same rows for MSD's hepatic vessels"
)

PAPER = Paper(
    title="Thickened 2D Networks for Efficient 3D Medical Image Segmentation",
    source="Yu et al., 2019, arXiv 1904.01150",
    data=(
        Data(
            "MSD_HEPATIC_VESSEL",
            "MSD Task08, hepatic vessels in CT, 303 cases (228 to train, 75 to test)",
            "http://medicaldecathlon.com",
        ),
        Data(
            "HOSPITAL",
            "200 abdominal CTs with arteries, veins, pancreas, duodenum",
            "the authors' hospital; never published",
            public=False,
        ),
    ),
    tables=(
        Table(
            "Ablation of the parts, 12 slices, three views fused",
            "Dice [%], superior mesenteric artery",
            (
                Row("DeepLab, 3 slices", "73.32", f"{_VESSELS} --thickness 3 {_PLAIN}"),
                Row("DeepLab, 12 slices", "71.07", f"{_VESSELS} --thickness 12 {_PLAIN}"),
                Row("ESM", "73.63", f"{_VESSELS} --thickness 12 --head none"),
                Row("ESM + concatenation", "73.07", f"{_VESSELS} --thickness 12 --head concat"),
                Row("ESM + product", "73.74", f"{_VESSELS} --thickness 12 --head dot"),
                Row("ESM + SSA", "74.17", f"{_VESSELS} --thickness 12"),
            ),
            note=_OWN_SCANS + "; a single view: --view axial, coronal or sagittal",
        ),
        Table(
            "Thickness, ESM + SSA, three views fused",
            "Dice [%], superior mesenteric artery",
            tuple(
                Row(f"{k} slices", dice, f"{_VESSELS} --thickness {k}")
                for k, dice in {
                    3: "72.61",
                    6: "73.21",
                    9: "74.05",
                    12: "74.17",
                    15: "74.55",
                    18: "73.61",
                    21: "74.17",
                    24: "73.78",
                }.items()
            ),
            note=_OWN_SCANS + "; in the paper axial models of 18 slices and more diverged",
        ),
        Table(
            "Likeness of neighbouring slices",
            "distance of the vectors of Dice between neighbours",
            (
                Row("DeepLab, 12 slices", command=f"{_VESSELS} --thickness 12 {_PLAIN}"),
                Row("ESM", command=f"{_VESSELS} --thickness 12 --head none"),
                Row("ESM + SSA", command=f"{_VESSELS} --thickness 12"),
            ),
            note="then distilseg evaluate RUN --also slice_similarity",
        ),
        Table(
            "MSD hepatic vessels, one view and three",
            "Dice [%]",
            (
                Row("coronal", command=f"{_VESSELS} --view coronal"),
                Row("three views", command=_VESSELS),
            ),
            note="what was published for these rows is not known to us as numbers",
        ),
        Table(
            "MSD hepatic vessels, the 3D setting",
            "Dice [%]",
            (
                Row("3D U-Net", command=f"{_PATCHES} --network basic_unet"),
                Row("V-Net", command=f"{_PATCHES} --network vnet"),
                Row("AH-Net", command=f"{_PATCHES} --network ahnet"),
                Row("thickened", command=_PATCHES),
            ),
            note="what was published is not known to us as numbers; for seconds: distilseg cost RUN",
        ),
    ),
)
