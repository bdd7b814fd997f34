"""Rows of Hossain et al., Teach-Former, Scientific Reports 2025."""

from __future__ import annotations

from .tables import Data, Paper, Row, Table

_HECKTOR = "distilseg train teach_former_hecktor21 --data HECKTOR21"
_PICAI = "distilseg train teach_former_picai22 --data PICAI22"
_COUNT = "distilseg networks {} --patch {} --modalities {} --classes 2 --count thop"
_ALONE = "--attention 0 --soft-labels 0 --no-control"


def _teachers(command: str, *published: str) -> tuple[Row, ...]:
    """The three teachers, each a run of the command that trains the first student."""
    names = {"T1 H-DenseFormer": "h_denseformer", "T2 Swin UNETR": "swin_unetr", "T3 UNETR": "unetr"}
    dice = published or ("",) * 3
    return tuple(
        Row(name, value, command, run=f"the teacher {network}")
        for (name, network), value in zip(names.items(), dice, strict=True)
    )


def _student(name: str, alone: str, taught: str, command: str) -> tuple[Row, ...]:
    return Row(f"{name}, alone", alone, command, run="the control"), Row(f"{name}, taught", taught, command)


def _counted(name: str, published: str, network: str, patch: str, *options: str) -> Row:
    modalities = 3 if patch.count(",") == 1 else 2
    words = "".join(f" --network-option {option}" for option in options)
    return Row(name, published, _COUNT.format(network, patch, modalities) + words)


_VOLUME, _SLICE = "144,144,144", "384,384"

PAPER = Paper(
    title="Enhancing efficient deep learning models with multimodal, multi-teacher insights for medical image"
    " segmentation",
    source="Hossain et al., Scientific Reports 15, 2025",
    data=(
        Data(
            "HECKTOR21",
            "HECKTOR 2021, head and neck CT and PET, 224 cases (180 in five folds, 44 to test)",
            "https://hecktor.grand-challenge.org/Data/",
            asked_for=True,
        ),
        Data(
            "PICAI22",
            "PI-CAI 2022, prostate MR, 220 cases (180 in five folds, 40 to test)",
            "https://pi-cai.grand-challenge.org/DATA/ (images and labels are open)",
        ),
    ),
    tables=(
        Table(
            "Sizes, HECKTOR 2021",
            'parameters [M] / "GFLOPs", as thop counts',
            (
                _counted("T1 H-DenseFormer", "11.38 / 960.38", "h_denseformer", _VOLUME),
                _counted("T2 Swin UNETR", "5.38 / 280.91", "swin_unetr_truncated", _VOLUME),
                _counted("T3 UNETR", "95.76 / 282.18", "unetr", _VOLUME),
                _counted("S1 H-DenseFormer, light", "1.53 / 62.73", "h_denseformer_light", _VOLUME),
                _counted("S2 Swin UNETR, light", "1.35 / 75.68", "swin_unetr_light", _VOLUME),
                _counted("S3 3D UX-Net", "5.12 / 41.51", "ux_net", _VOLUME),
                Row(
                    "MISSU",
                    "4.24 / 154.38",
                    _COUNT.format("missu", _VOLUME, 2),
                    note="its public code cannot run; no reading of it gives these numbers",
                ),
            ),
            note="75.68 is a misprint: 74.676 in the network that all other numbers belong to",
        ),
        Table(
            "Sizes, PI-CAI 2022",
            'parameters [M] / "GFLOPs", as thop counts',
            (
                _counted("T1 H-DenseFormer", "4.98 / 32.33", "h_denseformer", _SLICE),
                _counted("T2 Swin UNETR", "11.04 / 37.94", "swin_unetr_truncated", _SLICE),
                _counted("T3 UNETR", "87.51 / 59.42", "unetr", _SLICE),
                _counted("S1 H-DenseFormer, light", "1.25 / 3.31", "h_denseformer_light", _SLICE),
                _counted("S2 Swin UNETR, light", "2.76 / 9.64", "swin_unetr_light", _SLICE),
                _counted("S3 UX-Net", "4.71 / 20.27", "ux_net", _SLICE, "features=[24,48,96,192]"),
                Row(
                    "MDViT",
                    "30.30 / 24.95",
                    _COUNT.format("mdvit", _SLICE, 3) + " --network-option peer=True",
                    note="thop counts the authors' shared convolutions under three names; here once",
                ),
            ),
        ),
        Table(
            "HECKTOR 2021",
            "Dice [%], test",
            (
                *_teachers(_HECKTOR, "75.88", "71.99", "64.78"),
                *_student("S1 H-DenseFormer, light", "72.45", "76.58", _HECKTOR),
                *_student("S2 Swin UNETR, light", "68.97", "74.32", f"{_HECKTOR} --student swin_unetr_light"),
                *_student("S3 3D UX-Net", "66.22", "71.47", f"{_HECKTOR} --student ux_net"),
                Row(
                    "MISSU",
                    command=f"{_HECKTOR} --student missu {_ALONE}",
                    note="the network on the labels alone; its self-distillation is the recipe missu",
                ),
            ),
        ),
        Table(
            "PI-CAI 2022",
            "Dice [%], test",
            (
                *_teachers(_PICAI),
                *_student("S1 H-DenseFormer, light", "54.94", "72.37", _PICAI),
                *_student("S2 Swin UNETR, light", "20.76", "47.84", f"{_PICAI} --student swin_unetr_light"),
                *_student("S3 UX-Net", "37.64", "43.15", f"{_PICAI} --student ux_net"),
                Row("MDViT", command=f"{_PICAI} --student mdvit {_ALONE}"),
            ),
            note="the scores fit slices counted as cases: distilseg evaluate RUN --by slice --empty one",
        ),
        Table(
            "Ablation of the terms, S1 on HECKTOR 2021",
            "Dice [%], test",
            (
                Row("AFS", "73.27", f"{_HECKTOR} --soft-labels 0"),
                Row("PWD", "74.12", f"{_HECKTOR} --attention 0"),
                Row("AFS + PWD", "76.58", _HECKTOR),
            ),
        ),
        Table(
            "Table 3: which teachers, S1 on HECKTOR 2021",
            "Dice [%], test",
            (
                Row(
                    "T1",
                    "75.88",
                    f"{_HECKTOR} --teachers h_denseformer",
                    note="the printed number is T1's own score, perhaps by mistake",
                ),
                Row("T2", "76.15", f"{_HECKTOR} --teachers swin_unetr"),
                Row("T3", "73.26", f"{_HECKTOR} --teachers unetr"),
                Row("T1 + T2", "74.72", f"{_HECKTOR} --teachers h_denseformer,swin_unetr"),
                Row("T2 + T3", "76.75", f"{_HECKTOR} --teachers swin_unetr,unetr"),
                Row("T1 + T3", "75.37", f"{_HECKTOR} --teachers h_denseformer,unetr"),
                Row("T1 + T2 + T3", "76.58", _HECKTOR),
            ),
        ),
    ),
    note="for the folds' mean and deviation: --folds 5; for the paper's test cases: --split",
)
