"""`distilseg train`: a recipe on a dataset, with its teachers and its control, judged and compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..data.case import Dataset
from ..data.planning.plan import Plan
from ..data.planning.splits import Split
from ..errors import unknown
from ..export.cost import Model
from ..inference.threads import use_threads
from ..judge import judge, time_in_turns, to_time
from ..progress import say
from ..runs import Run
from ..training.answers import answers_of_others
from ..training.budget import Budget
from ..training.cases import prepare
from ..training.experiment import Experiment, Study
from ..training.foreign import Foreign
from ..training.machine import Machine, is_main_process
from ..training.preflight import in_order, look_ahead, summary
from ..training.trained import trained
from ..views import fused
from ._asked import Asked, asked, wanted
from ._subjects import Subjects

DATA = "data"  # in place of a run: what all of them need


def train(
    recipe: str,
    data: Path | str | Dataset,
    *,
    options: Mapping[str, Any] | None = None,
    runs: Path | str = "runs",
    layout: str | None = None,
    modalities: Sequence[str] | None = None,
    one_slice_per_subject: str | None = None,
    plan: Path | Plan | None = None,
    split: Path | Split | None = None,
    folds: int | None = None,
    fold: int | None = None,
    subjects: Subjects = None,
    unlabelled: Sequence[Path | str] = (),
    seed: int = 0,
    split_seed: int = 0,
    steps: int | None = None,
    epochs: float | None = None,
    minutes: float | None = None,
    control: bool = True,
    evaluate: bool = True,
    machine: Machine | None = None,
    cache: Path | None = None,
    threads: int | None = None,
    tensorboard: bool = False,
    save_every_s: float = 120.0,
    only: str | None = None,
    **settings: Any,
) -> list[Run]:
    """Trains teachers, the undistilled control and the recipe under one budget; judges all on the test cases.

    Returns the runs, the recipe's last (its views fused, where it has several); with `folds` and no `fold`
    those of every fold, fold by fold; with several `subjects` those of each number, all folds of it.
    `subjects`: how many patients of the training part are trained on, or several such numbers ("all" or None:
    all of them). They are drawn by `split_seed`, fewer always among more; validation and test stay the same.
    `unlabelled`: scans without labels that a recipe's teachers answer for: "own" for those of the dataset,
    "rest" for those of the training part that `subjects` leaves, files and folders.
    Everything already done is found again; what was interrupted resumes. `control=False` leaves out the
    control and does not judge teachers. `modalities` leaves out the dataset's other ones;
    `one_slice_per_subject` keeps one slice of each patient, of the view that it names. `options` are the
    recipe's own (`distilseg recipes NAME`), `settings` fields of `Sampling`, `Optimisation` and `Validation`
    (batch_size=4, learning_rate=1e-3, patience=3), each held to what its field says. `only` is the key of one
    of the runs that this needs (`Experiment.key`): it alone is made; or "data": scans are prepared and
    teachers' answers recorded, and nothing is trained. Raises UserError for what can be mended.
    """
    machine = machine or Machine()
    use_threads(threads or 0)
    given = {"steps": steps, "epochs": epochs, "minutes": minutes}
    told = {name: value for name, value in given.items() if value is not None}
    command = asked(
        recipe,
        data,
        options=options,
        layout=layout,
        modalities=modalities,
        one_slice_per_subject=one_slice_per_subject,
        plan=plan,
        split=split,
        folds=folds,
        fold=fold,
        subjects=subjects,
        unlabelled=unlabelled,
        seed=seed,
        split_seed=split_seed,
        budget=Budget(**told) if told else None,  # type: ignore[arg-type]
        control=control,
        settings=settings,
    )

    def made(experiment: Experiment) -> Run:
        return trained(
            experiment,
            runs=runs,
            machine=machine,
            cache=cache,
            tensorboard=tensorboard,
            save_every_s=save_every_s,
            ahead=ahead,
        )

    def judged(run: Run, experiment: Experiment, trust: str | None = None) -> Model:
        dataset = experiment.study.dataset
        judge(run, dataset, empty=experiment.empty, device=machine.device, trust=trust, timed=False)
        return to_time(run, dataset, trust=trust)

    def is_judged(experiment: Experiment) -> bool:
        return evaluate and bool(experiment.study.split.test) and is_main_process()

    def runs_of(study: Study, experiment: Experiment) -> list[Run]:
        found: list[Run] = []
        compared: list[Model] = []
        for one in wanted(experiment, control):
            run = made(one)
            cases = (one.study.dataset.folder, one.study.split.test)
            alike = cases == (study.dataset.folder, study.split.test)  # else it is a teacher's other dataset
            if is_judged(one):
                model = judged(run, one, one.networks["student"].name)
                if alike:
                    compared.append(model)
                else:
                    time_in_turns([model], device=machine.device)
            if alike:
                found.append(run)
        if experiment.views and is_main_process():
            of_views = found[-1 - len(experiment.views) :]
            found.append(fused([run.folder for run in of_views], experiment.fuse))
            if evaluate and study.split.test:
                compared.append(judged(found[-1], experiment))
        time_in_turns(compared, device=machine.device)
        return found

    alone = None if only is None else _only(command, only)
    ahead = look_ahead(
        command.wanted if alone is None else [alone], runs=runs, cache=cache, tensorboard=tensorboard
    )
    if only == DATA:
        _record(command.wanted, cache)
        return []
    first = command.by_size[0][1][0][0]
    for line in summary(ahead, judged_on=len(first.split.test) if evaluate else 0):
        say(line)
    if alone is not None:
        run = made(alone)
        if is_judged(alone) and any(one.key == only for one in command.wanted):
            judged(run, alone, alone.networks["student"].name)
        return [run]
    all_made = []
    for size, of_size in command.by_size:
        if len(command.by_size) > 1:
            say(f"{'all' if size is None else size} training subjects")
        for number, (study, experiment) in enumerate(of_size, start=1):
            if len(of_size) > 1:
                say(f"fold {number} of {folds}")
            all_made += runs_of(study, experiment)
    return all_made


def _only(command: Asked, only: str) -> Experiment | None:
    """The experiment of that key among all that the command needs; None for `DATA`. Raises UserError."""
    if only == DATA:
        return None
    needed = {one.key: one for asked in command.wanted for one in in_order(asked)}
    if only not in needed:
        raise unknown("run of this command", only, [DATA, *needed])
    return needed[only]


def _record(experiments: Sequence[Experiment], cache: Path | None) -> None:
    """What teachers of others answer for the cases that are learned from, found or recorded."""
    for experiment in experiments:
        for one in in_order(experiment):
            others = {role: teacher for role, teacher in one.teachers.items() if isinstance(teacher, Foreign)}
            if others:
                answers_of_others(one, others, prepare(one, cache), cache)
