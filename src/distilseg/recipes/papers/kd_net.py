"""Rows of Hu et al., KD-Net, MICCAI 2020."""

from __future__ import annotations

from .tables import Data, Paper, Row, Table

_BRATS = "distilseg train kd_net_brats2018 --data BRATS2018 --folds 3"


def _skips(skips: int, *published: str) -> tuple[Row, ...]:
    """The five rows of one number of skip connections, in the table's order."""
    baseline, teacher, kl, kd, full = published
    command = f"{_BRATS} --skips {skips}"
    return (
        Row(f"baseline, {skips} skips", baseline, command, run="the control"),
        Row(f"teacher, {skips} skips", teacher, command, run="the teacher"),
        Row(f"GT + KL, {skips} skips", kl, f"{command} --soft-share 0 --gt-weight 1"),
        Row(f"GT + KD, {skips} skips", kd, f"{command} --alpha 0"),
        Row(f"KD-Net, {skips} skips", full, command),
    )


PAPER = Paper(
    title="Knowledge distillation from multi-modal to mono-modal segmentation networks",
    source="Hu et al., MICCAI 2020, arXiv 2106.09564",
    data=(
        Data(
            "BRATS2018",
            "BraTS 2018, brain tumours, 285 cases (the student sees T1ce)",
            "https://www.med.upenn.edu/sbia/brats2018/registration.html",
            asked_for=True,
        ),
    ),
    tables=(
        Table(
            "Table 1: other networks for missing modalities",
            "Dice [%]: ET / TC / WT",
            (
                Row("KD-Net", "71.67 / 81.45 / 76.98", _BRATS),
                Row(
                    "U-HeMIS",
                    "60.8 / 58.5 / 58.5",
                    command="distilseg train u_hemis --data BRATS2018 --folds 3 --steps 60000",
                    note="the paper quotes its authors' numbers; the schedule here is that of supervised",
                ),
                Row(
                    "U-HVED",
                    "65.5 / 66.7 / 62.4",
                    command="distilseg train u_hved --data BRATS2018 --folds 3 --steps 60000",
                    note="the paper quotes its authors' numbers; the schedule here is that of supervised",
                ),
            ),
        ),
        Table(
            "Table 2: ablations",
            "Dice [%]: ET / TC / WT",
            (
                *_skips(
                    4,
                    "68.1 / 80.28 / 77.06",
                    "69.47 / 80.77 / 88.48",
                    "70.00 / 80.85 / 77.08",
                    "69.22 / 80.54 / 76.83",
                    "71.67 / 81.45 / 76.98",
                ),
                *_skips(
                    0,
                    "42.95 / 69.44 / 69.41",
                    "42.59 / 69.79 / 75.93",
                    "47.59 / 70.96 / 71.41",
                    "44.8 / 70.12 / 70.19",
                    "46.23 / 70.73 / 71.93",
                ),
            ),
        ),
    ),
)
