"""Rows of Banerjee et al., dual self-distillation, IEEE TBME 2025.

Its parameters and its mean gains are known to us as numbers; the Dice of each row is not, since we had the
paper without its tables.
"""

from __future__ import annotations

from .tables import Data, Paper, Row, Table

_MMWHS = "distilseg train dsd_paper_mmwhs --data MMWHS --folds 5"
_BRATS = "distilseg train dsd_paper_brats --data MSD_BRATS"
_HIPPOCAMPUS = "distilseg train dsd_paper_hippocampus --data MSD_HIPPOCAMPUS"


def _with_and_without(command: str, **networks: str) -> tuple[Row, ...]:
    """Two rows a network, of one command: with dual self-distillation, and the control without it."""
    commands = {name: f"{command} --network {network}" for network, name in networks.items()}
    return tuple(
        row
        for name, command in commands.items()
        for row in (Row(name, command=command, run="the control"), Row(f"{name} + DSD", command=command))
    )


def _parameters(name: str, published: str, network: str, classes: int, size: int, *more: str) -> Row:
    modalities = 4 if classes == 4 else 1
    words = f"--patch {size},{size},{size} --modalities {modalities} --classes {classes}"
    options = "".join(f" --network-option {option}" for option in more)
    return Row(name, published, f"distilseg networks {network} {words}{options}")


PAPER = Paper(
    title="Volumetric medical image segmentation through dual self-distillation in U-shaped networks",
    source="Banerjee et al., IEEE TBME 2025, arXiv 2306.03271",
    data=(
        Data(
            "MMWHS", "MMWHS, cardiac CT, 20 cases", "https://zmiclab.github.io/zxh/0/mmwhs/", asked_for=True
        ),
        Data("MSD_BRATS", "MSD Task01, brain tumours, 484 cases", "http://medicaldecathlon.com"),
        Data(
            "MSD_HIPPOCAMPUS",
            "MSD Task04, hippocampus, 260 cases",
            "http://medicaldecathlon.com, or distilseg fetch hippocampus",
        ),
    ),
    tables=(
        Table(
            "Mean gain by dual self-distillation (abstract)",
            "Dice [%], HD95 as printed [mm]",
            (
                Row("MMWHS", "+2.82, -7.15", note="the mean of the MMWHS table below, DSD less control"),
                Row("MSD BraTS", "+4.53, -6.48", note="the mean of the MSD BraTS table below"),
                Row("MSD Hippocampus", "+1.3, -0.76", note="the mean of the MSD Hippocampus table below"),
            ),
            note="the authors' code measures distances in voxels of its grid",
        ),
        Table(
            "Parameters",
            "millions, plain / with the heads that are dropped after training",
            (
                _parameters("UNETR 32, MMWHS", "101.787 / 101.804", "unetr", 8, 96, "feature_size=32"),
                _parameters("UNETR 16, MMWHS", "92.784 / 92.797", "unetr", 8, 96, "feature_size=16"),
                _parameters("UNETR 16, Hippocampus", "92.624 / 92.628", "unetr", 3, 32, "feature_size=16"),
                _parameters(
                    "nnU-Net 32 ... 320, MMWHS",
                    "16.664 / 16.672",
                    "dynunet",
                    8,
                    96,
                    "filters=[32,64,128,256,320]",
                ),
                _parameters(
                    "nnU-Net 16 ... 256, MMWHS",
                    "5.687 / 5.695",
                    "dynunet",
                    8,
                    96,
                    "filters=[16,32,64,128,256]",
                ),
                _parameters(
                    "nnU-Net 16 ... 256, Hippocampus",
                    "5.687 / 5.689",
                    "dynunet",
                    3,
                    32,
                    "filters=[16,32,64,128,256]",
                ),
                _parameters("VNet, Hippocampus", "45.602 / 45.605", "vnet", 3, 32),
            ),
            note="UNETR here holds 18,432 parameters more, which MONAI since added and which never run;"
            " 5.695 is 5.693 in the authors' code",
        ),
        Table(
            "MMWHS CT, five folds",
            "Dice, HD95 (mean over structures)",
            _with_and_without(_MMWHS, unetr="UNETR", dynunet="nnU-Net"),
        ),
        Table(
            "MSD BraTS",
            "Dice, HD95 of labels 1, 2, 3",
            (
                *_with_and_without(_BRATS, unetr="UNETR", dynunet="nnU-Net", swin_unetr="Swin UNETR"),
                *_with_and_without(f"{_BRATS} --light", unetr="UNETR, light"),
                *_with_and_without(_BRATS, cotr="CoTr", transbts="TransBTS")[::2],  # rivals stand alone
                Row(
                    "MISSU",
                    command="distilseg train missu --data MSD_BRATS --epochs 325",
                    note="on its own network and with the schedule of supervised: the paper's is not said",
                ),
            ),
            note="the authors' code tests on the last 24 cases: --split",
        ),
        Table(
            "MSD Hippocampus",
            "Dice, HD95",
            _with_and_without(_HIPPOCAMPUS, unetr="UNETR", dynunet="nnU-Net", vnet="VNet"),
            note="the authors' code tests on the last 60 cases: --split",
        ),
        Table(
            "Ablation of the terms",
            "Dice",
            (
                Row("Basic", command=f"{_MMWHS} --network unetr", run="the control"),
                Row("DS", command=f"{_MMWHS} --network unetr --alpha 0 --beta 0"),
                Row("SDD", command=f"{_MMWHS} --network unetr --alpha 0"),
                Row("SDE", command=f"{_MMWHS} --network unetr --beta 0"),
                Row("DSD", command=f"{_MMWHS} --network unetr"),
            ),
            note="for other data or another backbone: its recipe and --network",
        ),
        Table(
            "Ablation of the temperature",
            "Dice",
            tuple(
                Row(f"T = {T}", command=f"{_MMWHS} --network unetr --temperature {T}") for T in (1, 2, 3, 4)
            ),
        ),
        Table(
            "Ablation of the teachers",
            "Dice",
            (
                Row("deepest (DSD)", command=f"{_MMWHS} --network unetr"),
                Row("mean of all", command=f"{_MMWHS} --network unetr --teacher mean"),
                Row("reversed", command=f"{_MMWHS} --network unetr --teacher reversed"),
                Row(
                    "MISSU on UNETR",
                    command="distilseg train missu --data MMWHS --network unetr --epochs 600",
                    note="without MISSU's fusion blocks, which are part of the network missu here",
                ),
            ),
        ),
    ),
    note="the paper's Dice and HD95 of single rows are not known to us as numbers: compare with its tables",
)
