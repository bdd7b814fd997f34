"""Rows of Yu et al., unpaired 3D to 2D distillation for single slices, 2024."""

from __future__ import annotations

from .tables import Data, Paper, Row, Table

_TRAIN = "distilseg train prototype_distillation_abdomen --data SLICES"
_STUDENTS = {
    "DeepLabV3": ("deeplab_v3", "0.806", "0.825", "0.824"),
    "Swin-Unet": ("swin_unet", "0.811", "0.824", "0.821"),
    "MISSFormer": ("missformer", "0.841", "0.842", "0.845"),
}
_SUBJECTS = "100,150,200,250,295"


def _student(name: str, network: str, alone: str, btcv: str, non_contrast: str) -> tuple[Row, ...]:
    of_btcv = f"{_TRAIN} --data-3d BTCV --network {network}"
    return (
        Row(
            name,
            alone,
            of_btcv,
            run="the student before its second part",
            note="the control goes on as long as the distilled one, which the paper's row does not",
        ),
        Row(f"{name}, prototypes of BTCV", btcv, of_btcv),
        Row(
            f"{name}, prototypes of non-contrast CT",
            non_contrast,
            f"{_TRAIN} --data-3d VOLUMES --network {network}",
        ),
    )


PAPER = Paper(
    title="Enhancing Single-Slice Segmentation with 3D-to-2D Unpaired Scan Distillation",
    source="Yu et al., 2024, arXiv 2406.12254",
    data=(
        Data(
            "SLICES",
            "single abdominal slices of the Baltimore Longitudinal Study of Aging, 707 subjects",
            "https://www.blsa.nih.gov (a proposal is asked for); or slices of your own",
            asked_for=True,
        ),
        Data(
            "BTCV",
            "BTCV, 30 portal-venous CTs with 13 organs",
            "https://www.synapse.org/Synapse:syn3193805",
            asked_for=True,
        ),
        Data(
            "VOLUMES",
            "49 non-contrast CTs of large spleens",
            "the authors' hospital; never published, any other labelled volumes will do",
            public=False,
        ),
    ),
    tables=(
        Table(
            "Students and whose prototypes",
            "Dice, mean over six organs",
            tuple(row for name, told in _STUDENTS.items() for row in _student(name, *told)),
            note="an organ counts on the slices that show it",
        ),
        Table(
            "Few subjects, DeepLabV3, prototypes of non-contrast CT (a figure)",
            "Dice, mean over six organs",
            (
                Row(
                    f"DeepLabV3, {_SUBJECTS} subjects",
                    command=f"{_TRAIN} --data-3d VOLUMES --subjects {_SUBJECTS}",
                    run="the students before their second part, and the controls",
                ),
                Row(
                    f"DeepLabV3 with prototypes, {_SUBJECTS} subjects",
                    command=f"{_TRAIN} --data-3d VOLUMES --subjects {_SUBJECTS}",
                ),
            ),
            note="what was published for these rows is not known to us as numbers",
        ),
        Table(
            "Networks of volumes and of slices on BTCV (a figure)",
            "Dice",
            (
                Row("UNesT", command=f"{_TRAIN} --data-3d BTCV", run="the teacher of volumes"),
                *(
                    Row(
                        name,
                        command="distilseg train prototype_distillation_student --data BTCV"
                        f" --network {network} --epochs 150",
                        note="axial slices, with the schedule of supervised",
                    )
                    for name, (network, *_) in _STUDENTS.items()
                ),
            ),
            note="what was published for these rows is not known to us as numbers",
        ),
    ),
)
