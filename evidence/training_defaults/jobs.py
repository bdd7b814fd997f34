"""Settings of plain training, one changed at a time, on three datasets; two hours of two cores.

They are chosen on validation cases, and what was chosen is judged on test cases: see `protocol.md`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..by_validation import collect as collect_runs
from ..by_validation import train_only
from ..jobs import Job
from .changes import (
    AGAIN,
    BENCHES,
    CHOSEN,
    DEFAULT,
    FOCAL,
    LIGHT,
    NOW,
    OF_DYNUNET,
    PLAN,
    SPACINGS,
    TRAINING,
    Change,
)

if TYPE_CHECKING:
    from distilseg.training.experiment import Experiment

__all__ = ["DATA", "collect", "jobs", "train_one"]

DATA = ""  # three datasets
STUDENT = "student_small"
CONFIRMING = (0, 1, 2)  # seeds
IN_OWN_SPACE = (0,)
OWN_SPACE = (
    "own-space"  # a folder, as runs judged on validation cases are the same runs as some judged on test cases
)


def jobs(only: Sequence[str] = ()) -> list[list[Job]]:
    """Every change on every dataset, the second seed of some, and what is confirmed; or `only` some rows.

    only: as `row` names them, such as "headneck: quarter of the patch".
    """

    def job(bench: str, change: str, seed: int, **more: Any) -> Job:
        dynunet = bench.endswith(" dynunet")
        network = {"network": "dynunet", "network_options": LIGHT} if dynunet else {"network": STUDENT}
        return Job("supervised", network, {"bench": bench.split()[0], "change": change, "seed": seed, **more})

    tried = [(bench, change) for bench in BENCHES for change in BENCHES[bench].changes]
    tried += [("hippocampus dynunet", change) for change in OF_DYNUNET]
    again = [(bench, change) for bench, change in tried if change in AGAIN.get(bench, ())]
    both = [(bench, change) for bench in BENCHES for change in (DEFAULT, CHOSEN)]
    stages = [
        [job(*one, 0) for one in tried],
        [job(*one, 1) for one in again],
        [job(*one, seed, confirm=True) for seed in CONFIRMING for one in both],
        [_in_own_space(change, seed) for seed in IN_OWN_SPACE for change in (*SPACINGS, FOCAL)],
    ]
    return [[one for one in stage if not only or row_of_job(one) in only] for stage in stages]


def _in_own_space(change: str, seed: int) -> Job:
    """A spacing, or the focal loss of Teach-Former's objective."""
    recipe, option = ("teach_former_control", "student") if change == FOCAL else ("supervised", "network")
    return Job(
        recipe, {option: STUDENT}, {"bench": "headneck", "change": change, "seed": seed, "own_space": True}
    )


def row_of_job(job: Job) -> str:
    """A job's row."""
    return row(job.settings["bench"], job.settings["change"], network_of(job.options))


def network_of(options: Mapping[str, Any]) -> str:
    """The network that is trained."""
    return str(options.get("network") or options["student"])


def row(bench: str, change: str, network: str) -> str:
    """A row's name."""
    return f"{bench}{'' if network == STUDENT else f' {network}'}: {change}"


def train_one(job: Job, data: str, runs: str) -> None:
    """Trains and validates, and judges what is to be confirmed; the run records its row."""
    own_space = job.settings.get("own_space")
    experiment = experiment_of(job, data)
    run = train_only(experiment, f"{runs}-{OWN_SPACE}" if own_space else runs)
    if job.settings.get("confirm") or own_space:
        from distilseg.judge import judge

        cases = run.read(run.split)["validation"] if own_space else None
        judge(run, experiment.study.dataset, cases=cases, device="cpu", timed=False)


def collect(runs: str, results: Path) -> None:
    """Those that are judged on validation cases lie apart."""
    collect_runs(runs, results)
    collect_runs(f"{runs}-{OWN_SPACE}", results / OWN_SPACE)


def experiment_of(job: Job, data: str) -> Experiment:
    """The recipe's defaults, with the one change, for as many steps as the voxels last."""
    from math import prod

    from distilseg.recipes import find
    from distilseg.training.budget import Budget
    from distilseg.training.studies import make_study

    bench, named = BENCHES[job.settings["bench"]], job.settings["change"]
    change = _change(job.settings["bench"], named)
    dataset, options = Path(data) / bench.folder, {**PLAN, **change.plan}
    study = make_study(dataset, seed=job.settings["seed"], **options)
    if change.patch != 1:
        options["patch_voxels"] = round(change.patch * prod(study.plan.patch))
        study = make_study(dataset, seed=job.settings["seed"], **options)
    steps = round(change.times * bench.voxels / (prod(study.plan.patch) * study.plan.batch_size))
    made = find(job.recipe)(study, **job.options)
    made = made.with_settings(Budget(steps=steps), **{**TRAINING, **change.training})
    told = {name: job.settings[name] for name in ("bench", "change")}
    return replace(made, asked={**made.asked, **told})


def _change(bench: str, named: str) -> Change:
    if named in BENCHES[bench].changes:
        return BENCHES[bench].changes[named]
    chosen = NOW[bench]
    return replace(chosen, plan={**chosen.plan, **SPACINGS.get(named, {})})
