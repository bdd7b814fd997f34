"""`distilseg train`: a recipe on a dataset, with its teachers and its control, judged and compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..data.case import Dataset
from ..data.planning.plan import Plan
from ..data.planning.splits import Split
from ..export.cost import Model
from ..inference.threads import use_threads
from ..judge import judge, time_in_turns, to_time
from ..progress import say
from ..recipes import find
from ..recipes.others import look_at
from ..runs import Run
from ..training.budget import Budget
from ..training.experiment import Experiment, Finished, Prototypes, Study
from ..training.foreign import Foreign
from ..training.machine import Machine, is_main_process
from ..training.preflight import look_ahead, summary
from ..training.studies import REST, make_study
from ..training.trained import trained
from ..views import fused
from ._subjects import Subjects, sizes_of, studies_of_sizes


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
    (batch_size=4, learning_rate=1e-3, patience=3), each held to what its field says. Raises UserError for
    what can be mended.
    """
    machine = machine or Machine()
    use_threads(threads or 0)
    given = {"steps": steps, "epochs": epochs, "minutes": minutes}
    asked = {name: value for name, value in given.items() if value is not None}
    budget = Budget(**asked) if asked else None  # type: ignore[arg-type]
    asked_recipe = find(recipe)
    if "trust_teacher" in asked_recipe.options:  # it takes teachers by path
        look_at(options or {})

    def study_of(fold: int | None, plan: Path | Plan | None) -> Study:
        return make_study(
            data,
            layout=layout,
            modalities=modalities,
            one_slice_per_subject=one_slice_per_subject,
            plan=plan,
            split=split,
            folds_=folds,
            fold=fold,
            seed=seed,
            split_seed=split_seed,
            unlabelled=unlabelled,
        )

    def experiment_of(study: Study) -> Experiment:
        return asked_recipe(study, **(options or {})).with_settings(budget, **settings)

    def judged(run: Run, experiment: Experiment, trust: str | None = None) -> Model:
        dataset = experiment.study.dataset
        judge(run, dataset, empty=experiment.empty, device=machine.device, trust=trust, timed=False)
        return to_time(run, dataset, trust=trust)

    def runs_of(study: Study, experiment: Experiment) -> list[Run]:
        made: list[Run] = []
        compared: list[Model] = []
        for one in _wanted(experiment, control):
            run = trained(
                one,
                runs=runs,
                machine=machine,
                cache=cache,
                tensorboard=tensorboard,
                save_every_s=save_every_s,
                ahead=ahead,
            )
            cases = (one.study.dataset.folder, one.study.split.test)
            alike = cases == (study.dataset.folder, study.split.test)  # else it is a teacher's other dataset
            if evaluate and one.study.split.test and is_main_process():
                model = judged(run, one, one.networks["student"].name)
                if alike:
                    compared.append(model)
                else:
                    time_in_turns([model], device=machine.device)
            if alike:
                made.append(run)
        if experiment.views and is_main_process():
            of_views = made[-1 - len(experiment.views) :]
            made.append(fused([run.folder for run in of_views], experiment.fuse))
            if evaluate and study.split.test:
                compared.append(judged(made[-1], experiment))
        time_in_turns(compared, device=machine.device)
        return made

    sizes = sizes_of(subjects)
    first = study_of(fold if fold is not None or folds is None else 0, plan)
    studies = [first]
    if folds is not None and fold is None:
        studies += [study_of(number, first.plan) for number in range(1, folds)]
    by_size = [
        (size, [(study, experiment_of(study)) for study in of_size])
        for size, of_size in studies_of_sizes(studies, sizes, seed=split_seed, rest=REST in unlabelled)
    ]
    wanted = [one for _, of_size in by_size for _, asked in of_size for one in _wanted(asked, control)]
    ahead = look_ahead(wanted, runs=runs, cache=cache, tensorboard=tensorboard)
    for line in summary(ahead, judged_on=len(first.split.test) if evaluate else 0):
        say(line)
    made = []
    for size, of_size in by_size:
        if len(sizes) > 1:
            say(f"{'all' if size is None else size} training subjects")
        for number, (study, experiment) in enumerate(of_size, start=1):
            if len(of_size) > 1:
                say(f"fold {number} of {folds}")
            made += runs_of(study, experiment)
    return made


def _wanted(experiment: Experiment, control: bool) -> list[Experiment]:
    """The experiment; before it what it is compared with, teachers and control, and its other views."""
    views = [*experiment.views, experiment]
    if not control:
        return views
    others: list[Experiment | Finished | Foreign | None] = [*experiment.teachers.values()]
    if isinstance(experiment.prototypes, Prototypes):
        others.append(experiment.prototypes.teacher)
    if experiment.continues is not None:
        others.append(experiment.continues.run)
    others.append(experiment.control)
    return [*(one for one in others if isinstance(one, Experiment)), *views]
