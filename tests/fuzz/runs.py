"""Run folders of which somebody changed one file, by seed: judged, compared, shown, used, resumed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from random import Random

from distilseg import commands
from distilseg.judge import judge
from distilseg.runs import Run
from distilseg.training.experiment import Experiment
from distilseg.training.trained import trained

from ..training.small import CPU, small_experiment, small_study
from ..training.test_trained import trained_until
from .ending import ending
from .mutations import mutated, mutated_json

SEED, TRIES = 0, 12
TOLD = ("experiment.json", "plan.json", "split.json", "status.json")
JUDGED = ("evaluation.json", "cost.json", "metrics.csv")
FILES: Mapping[str, tuple[str, ...]] = {  # what each command reads of a run, and is changed
    "evaluate": (*TOLD[:3], *JUDGED),
    "evaluate --again": (*TOLD[:3], "best.safetensors"),
    "compare": (*TOLD, *JUDGED),
    "report": (*TOLD[:2], "cost.json", "validation.csv", "losses.csv", "overlays.npz"),
    "predict": (*TOLD[:2], "best.safetensors", "last.safetensors"),
    "resume": ("last.pt", "experiment.json", "validation.csv", "losses.csv"),
}
SHARE = {"report": 6}  # a page takes a second: one try of so many


class World:
    """A judged run, one that was interrupted, and what it takes to use them."""

    def __init__(self, folder: Path) -> None:
        """Makes everything below `folder`."""
        self.folder = folder
        study = small_study(folder / "scans")
        self.experiment: Experiment = small_experiment(study, "supervised", steps=6)
        self.whole = trained(self.experiment, runs=folder / "whole", machine=CPU, cache=folder / "cache")
        judge(self.whole, study.dataset, device="cpu")
        self.begun = trained_until(self.experiment, 5, folder / "begun", folder)
        self.weights = "best"  # that predict is asked for
        (folder / "new").mkdir()
        shutil.copy(folder / "scans" / "imagesTr" / "phantom_005.nii.gz", folder / "new")

    def attempts(self) -> Mapping[str, tuple[Run, Callable[[Run], object]]]:
        """By command: the sound run, and what is done with a copy of it."""
        out = self.folder / "out"
        return {
            "evaluate": (self.whole, lambda run: commands.evaluate(run.folder, device="cpu")),
            "evaluate --again": (
                self.whole,
                lambda run: commands.evaluate(run.folder, again=True, device="cpu"),
            ),
            "compare": (self.whole, lambda run: commands.compare([run.folder], out=out / "table.csv")),
            "report": (self.whole, lambda run: commands.report([run.folder], out / "report.html")),
            "predict": (
                self.whole,
                lambda run: commands.predict(
                    run.folder, self.folder / "new", out, weights=self.weights, device="cpu"
                ),
            ),
            "resume": (
                self.begun,
                lambda run: trained(
                    self.experiment, runs=run.folder.parents[1], machine=CPU, cache=self.folder / "cache"
                ),
            ),
        }


def sweep(world: World, command: str, tries: int = TRIES) -> Iterator[tuple[str, int, str]]:
    """Of each file that a command reads: its name, the try, and what became of it."""
    sound, use = world.attempts()[command]
    for name in FILES[command]:
        content = (sound.folder / name).read_bytes()
        world.weights = name.partition(".")[0] if name.endswith(".safetensors") else "best"
        for n in range(max(1, tries // SHARE.get(command, 1))):
            rng = Random(f"{SEED} {command} {name} {n}")
            changed = copied(sound, world.folder / "changed")
            (world.folder / "out").mkdir(exist_ok=True)
            of_json = name.endswith(".json")
            (changed.folder / name).write_bytes(
                mutated_json(json.loads(content), rng) if of_json else mutated(content, rng)
            )
            yield name, n, ending(partial(use, changed))
            shutil.rmtree(world.folder / "changed")
            shutil.rmtree(world.folder / "out")


def copied(run: Run, to: Path) -> Run:
    """The run below another folder of runs."""
    return Run(shutil.copytree(run.folder, to / run.folder.parent.name / run.folder.name))
