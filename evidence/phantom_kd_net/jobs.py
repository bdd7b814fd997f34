"""KD-Net on phantoms whose CT shows the lesion by a known contrast; an hour and a half of a core."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..answers import REST, finished
from ..collecting import Experiment
from ..collecting import collect as collect_runs
from ..jobs import Job, train_and_judge

DATA = ""  # made up, beside the runs
CASES, SHAPE = 150, (32, 32, 32)
CONTRASTS_HU = (0, 5, 15, 45)
LABELS = 10
SEEDS = (0, 1)
FILTERS = [8, 16, 32, 64, 128]
TAUGHT = ("kd_net", "kd_net_gt_kd")
TEACHER = "the teacher"


def jobs(steps: int = 400, seeds: Sequence[int] = SEEDS) -> list[list[Job]]:
    """Teachers, controls and ceilings; then the students that are taught."""

    def job(recipe: str, hu: int, seed: int, **more: Any) -> Job:
        sees = {} if recipe == "kd_net_teacher" else {"student_sees": ["CT"]}
        options = {"network_options": {"filters": FILTERS}, **sees}
        return Job(recipe, options, {"hu": hu, "steps": steps, "seed": seed, **more})

    each = [(hu, seed) for seed in seeds for hu in CONTRASTS_HU]
    few = {"subjects": LABELS}
    first = [job("kd_net_teacher", hu, seed, **few) for hu, seed in each]
    first += [job("kd_net_control", hu, seed, **few) for hu, seed in each]
    first += [job("kd_net_control", hu, seed) for hu, seed in each]
    taught = [job(recipe, hu, seed, **few) for hu, seed in each for recipe in TAUGHT]
    taught += [job("kd_net_gt_kd", hu, seed, **few, **REST) for hu, seed in each]
    return [first, taught]


def prepare(data: str, runs: str) -> None:
    """The phantoms."""
    from distilseg.data.phantom.volumes import write_phantom

    for hu in CONTRASTS_HU:
        write_phantom(
            _folder(runs, hu),
            cases=CASES,
            shape=SHAPE,
            modalities=("CT", "PET"),
            structures=("liver", "lesion"),
            lesion_hu=hu,
        )


def train_one(job: Job, data: str, runs: str) -> None:
    """Trains and judges; where scans without labels are learned from, of the finished teacher's answers."""
    settings = dict(job.settings)
    hu, options = settings.pop("hu"), dict(job.options)
    of_contrast = Path(runs) / f"{hu}-hu"
    if "unlabelled" in settings:
        mine = ("kd_net_teacher", settings["seed"])
        own = finished(of_contrast, lambda about: (about["recipe"], about["seed"]) == mine, "teacher")
        options["teacher"] = str(own)
    train_and_judge(Job(job.recipe, options, settings), str(_folder(runs, hu)), str(of_contrast))


def collect(runs: str, results: Path) -> None:
    """Data without paths, and the contrast with each run."""
    for hu in CONTRASTS_HU:

        def tidy(about: Experiment, hu: int = hu) -> None:
            about["asked"]["hu"] = hu
            if about["options"].get("teacher"):
                about["options"]["teacher"] = TEACHER

        collect_runs(str(Path(runs) / f"{hu}-hu"), results / f"{hu}-hu", tidy=tidy)


def _folder(runs: str, hu: int) -> Path:
    return Path(runs) / "phantoms" / f"{hu}-hu"
