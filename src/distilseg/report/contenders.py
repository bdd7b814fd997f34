"""What is compared: the runs of one recipe and its options, read from their folders.

Runs that differ in nothing but the seed, or are folds of one split, are one contender; a case's value is its
mean over the runs that tested it. Those on fewer training subjects are a contender of their own, of the same
family. A value that is undefined or infinite (HD95 of an empty prediction, for instance) stays NaN here, so
that it can be counted instead of being forgotten.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

from ..errors import UserError
from ..evaluation.by_slice import by_case
from ..hardware import BUSY
from ..names import pasted
from ..runs import Run

Values = Mapping[str, float]  # case -> value, NaN where undefined
Group = list[tuple[Run, dict[str, Any]]]  # runs with their experiments


@dataclass(frozen=True)
class Metric:
    """How a metric of metrics.csv is named, counted and judged."""

    name: str
    title: str
    unit: str
    higher_is_better: bool
    decimals: int

    @property
    def arrow(self) -> str:
        return "↑" if self.higher_is_better else "↓"

    @property
    def is_share(self) -> bool:
        """Whether it lies between 0, the worst, and 1; all others here are distances."""
        return self.higher_is_better


METRICS = {
    metric.name: metric
    for metric in (
        Metric("dice", "Dice", "", True, 3),
        Metric("iou", "IoU", "", True, 3),
        Metric("hd95", "HD95", "mm", False, 2),
        Metric("hd95_in_voxels", "HD95", "voxels", False, 2),
        Metric("assd", "ASSD", "mm", False, 2),
        Metric("assd_in_voxels", "ASSD", "voxels", False, 2),
        Metric("nsd", "NSD", "", True, 3),
        Metric("nsd_in_voxels", "NSD (tolerance in voxels)", "", True, 3),
        Metric("slice_similarity", "inter-slice distance", "", False, 3),
    )
}


@dataclass(frozen=True)
class Contender:
    """One recipe with its options: what its runs scored, what it costs, what it was given.

    Numbers of several runs are averaged.
    """

    name: str
    family: str  # its name without the number of training subjects
    subjects: int | None  # patients that each run was trained on, over folds rounded; None: unknown
    recipe: str
    options: Mapping[str, Any]
    runs: tuple[Run, ...]
    seeds: tuple[int, ...]  # of each run
    tested: tuple[frozenset[str], ...]  # the cases in each run's metrics.csv
    control: str | None  # the folder name of its undistilled control, if its runs name one
    teachers: frozenset[str]  # folder names of the runs that taught it
    starts: frozenset[str]  # folder names of the runs whose best weights it began with
    values: Mapping[tuple[str, str], Values]  # (structure, metric) -> case -> value
    labelled_by: str = ""  # the teacher whose answers judged it; "": labels of people
    chosen_by: str = ""  # the same of what chose its best weights
    cost: Mapping[str, Any] = field(default_factory=dict)
    steps: float | None = None
    seconds: float | None = None

    @property
    def trained_here(self) -> bool:
        """Whether it is runs that were trained: a model of others was only judged, see `judged_teacher`."""
        return self.recipe != "teacher"

    @property
    def busy(self) -> bool:
        """Whether others had the processors while its seconds were measured; unknown of older records."""
        return (self.cost.get("waited") or 0.0) > BUSY

    @property
    def cases(self) -> set[str]:
        return {case for values in self.values.values() for case in values}


def contenders(runs: Sequence[Run], *, by: str = "case") -> list[Contender]:
    """The runs grouped by everything but the seed and the fold, in the order given.

    `by="slice"`: a case's value is the mean over its slices, from the folders `by-slice`.
    """
    if not runs:
        raise UserError("there is no run to report", "give one run folder or more")
    unique = {run.folder.resolve(): run for run in runs}.values()
    described = [(run, run.read(run.experiment)) for run in unique]
    datasets = {str(_dataset(experiment).get("name", "")): run for run, experiment in described}
    if len(datasets) > 1:
        told = ", ".join(f"{run.name} on {name!r}" for name, run in datasets.items())
        raise UserError(
            f"the runs are of different datasets ({told})", "compare runs of one dataset at a time"
        )
    groups: dict[str, Group] = {}
    for run, experiment in described:
        key = _family(run, experiment) + _size(run, experiment)
        groups.setdefault(key, []).append((run, experiment))
    named = _names(list(groups.values()))
    return [
        _contender(name, family, subjects, group, by)
        for (name, family, subjects), group in zip(named, groups.values(), strict=True)
    ]


def _contender(name: str, family: str, subjects: int | None, group: Group, by: str) -> Contender:
    runs = tuple(run for run, _ in group)
    first = group[0][1]
    values = [_values(run, by) for run in runs]
    status = [run.read(run.status) for run in runs if run.finished]
    costs = [run.read(run.cost) for run in runs if run.cost.is_file()]
    return Contender(
        name=name,
        family=family,
        subjects=subjects,
        recipe=str(first.get("recipe", runs[0].name)),
        options=_options(first),
        runs=runs,
        seeds=tuple(int(experiment.get("seed", 0)) for _, experiment in group),
        control=next((str(e["control"]) for _, e in group if e.get("control")), None),
        teachers=frozenset(str(name) for _, e in group for name in (e.get("teachers") or {}).values()),
        starts=frozenset(str(e["continues"]) for _, e in group if e.get("continues")),
        tested=tuple(frozenset(case for of_case in table.values() for case in of_case) for table in values),
        values=_over_runs(values),
        labelled_by=_labelled_by(runs, by),
        chosen_by=str(_dataset(first).get("labelled_by", "")),
        cost=_mean_cost(costs),
        steps=_mean(s.get("steps") for s in status),
        seconds=_mean(s.get("seconds") for s in status),
    )


def _labelled_by(runs: Sequence[Run], by: str) -> str:
    """The teacher by whose answers all of these runs were judged; raises UserError where they differ."""
    told = {str(evaluation(run, by).get("labelled_by", "")): run for run in runs}
    check_one_judge({judge: run.name for judge, run in told.items()})
    return next(iter(told))


def check_one_judge(names: Mapping[str, str]) -> None:
    """Raises UserError for runs that were judged by different labels; `names`: one by teacher, or by ""."""
    if len(names) > 1:
        told = ", ".join(
            f"{name} by agreement with {teacher}" if teacher else f"{name} by labels"
            for teacher, name in names.items()
        )
        raise UserError(
            f"the runs were judged by different labels ({told}): their scores say different things",
            "compare runs that were judged alike, or judge all on labelled scans"
            " (distilseg evaluate RUN --data LABELLED --again)",
        )


def _values(run: Run, by: str) -> dict[tuple[str, str], dict[str, float]]:
    """metrics.csv as (structure, metric) -> case -> value."""
    command = pasted("distilseg", "evaluate", run.folder, *([] if by == "case" else ["--by", "slice"]))
    rows = run.scored(by)
    if not rows:
        table = "metrics.csv" if by == "case" else "by-slice/metrics.csv"
        state = "has no test results yet" if run.finished else "is not finished"
        fix = (
            f"run `{command}`"
            if run.finished
            else "repeat the `distilseg train` command that made it, it resumes"
        )
        raise UserError(f"the run {run.folder} {state} (no rows in {table})", fix)
    # Label maps tell that a judgement began; the record goes before what it is of, and comes last.
    if (by == "slice" or run.predictions.is_dir()) and not _record(run, by).is_file():
        raise UserError(
            f"nothing tells how the scores of {run.folder} were made (no {_record(run, by).name}): their"
            " judgement was cut short",
            f"run `{command}`, which judges again",
        )
    values: dict[tuple[str, str], dict[str, float]] = {}
    for row in rows:
        value = float(row["value"] or "nan")
        key = (row["label"], row["metric"])
        values.setdefault(key, {})[row["case"]] = value if math.isfinite(value) else math.nan
    return values if by == "case" else {key: by_case(of_slice) for key, of_slice in values.items()}


def _over_runs(runs: list[dict[tuple[str, str], dict[str, float]]]) -> dict[tuple[str, str], Values]:
    """Each case's mean over the runs that tested it; NaN as soon as one of them has no value for it."""
    keys = dict.fromkeys(key for run in runs for key in run)
    averaged: dict[tuple[str, str], Values] = {}
    for key in keys:
        tables = [run.get(key, {}) for run in runs]
        cases = dict.fromkeys(case for table in tables for case in table)
        averaged[key] = {case: fmean(table[case] for table in tables if case in table) for case in cases}
    return averaged


def _mean(values: Iterable[Any]) -> float | None:
    numbers = [float(value) for value in values if isinstance(value, int | float)]
    return fmean(numbers) if numbers else None


def _mean_cost(costs: list[dict[str, Any]]) -> dict[str, Any]:
    """Numbers averaged over the seeds (timings differ a little), everything else from the first."""
    if not costs:
        return {}
    return {
        key: value
        if isinstance(value, bool) or not isinstance(value, int | float)
        else _mean(c.get(key) for c in costs)
        for key, value in costs[0].items()
    }


def _dataset(experiment: Mapping[str, Any]) -> Mapping[str, Any]:
    dataset = experiment.get("dataset")
    return dataset if isinstance(dataset, Mapping) else {"name": dataset or ""}


def _options(experiment: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in (experiment.get("options") or {}).items() if name != "seed"}


SETTINGS = ("budget", "optimisation", "sampling", "validation", "weights")


def _family(run: Run, experiment: Mapping[str, Any]) -> str:
    """What runs of one contender share, and what those of fewer training subjects share with them."""
    parts = [experiment.get(name) for name in ("recipe", "networks", *SETTINGS)]
    return json.dumps([_options(experiment), *parts, _prepared(run)], sort_keys=True, default=str)


def _prepared(run: Run) -> dict[str, Any]:
    """How its plan prepares scans, without what is measured of training cases, which folds do not share."""
    plan = run.read(run.plan) if run.plan.is_file() else {}
    told = {name: plan[name] for name in ("orientation", "interpolation") if name in plan}
    if plan.get("reasons", {}).get("spacing_mm") == "given":
        told["spacing_mm"] = plan["spacing_mm"]
    for modality, how in plan.get("normalisation", {}).items():
        kind = str(how.get("kind"))
        fixed = [how[end] for end in ("low", "high") if end in how and kind.startswith("range")]
        told[f"normalisation of {modality}"] = ":".join(map(str, [kind, *fixed]))
    for modality, windows in plan.get("tissue_windows", {}).items():
        told[f"tissue windows of {modality}"] = ", ".join(
            ":".join(f"{end:g}" for end in ends) for ends in windows
        )
    return told


def _size(run: Run, experiment: Mapping[str, Any]) -> str:
    """The number of subjects, where these were drawn; else that of all cases, which folds share."""
    if (experiment.get("subjects") or {}).get("drawn"):
        return f"{_subjects(run, experiment)} subjects"
    split = run.read(run.split) if run.split.is_file() else {}
    return f"{sum(len(cases) for cases in split.values() if isinstance(cases, list))} cases"


def _subjects(run: Run, experiment: Mapping[str, Any]) -> int:
    """How many patients it was trained on; where that is not recorded, each case counts as one."""
    told = (experiment.get("subjects") or {}).get("training")
    return int(told) if told is not None else len(training_cases(run))


def _names(groups: Sequence[Group]) -> list[tuple[str, str, int | None]]:
    """Each group's name, that of its family, and its number of training subjects.

    A family is called by its recipe; where several share it, with the options that differ, else with the
    settings too. Where the numbers of training subjects differ, each name tells its own.
    """
    firsts: dict[str, tuple[Run, dict[str, Any]]] = {}
    for group in groups:
        firsts.setdefault(_family(*group[0]), group[0])
    told = _told_apart(list(firsts.values()), _options_told)
    if len(set(told)) < len(told):
        told = _told_apart(list(firsts.values()), _description)
    told = [
        f"{name} [{run.name}]" if told.count(name) > 1 else name
        for name, (run, _) in zip(told, firsts.values(), strict=True)
    ]
    of_key = dict(zip(firsts, told, strict=True))
    families = [of_key[_family(*group[0])] for group in groups]
    sizes = [round(fmean(_subjects(*one) for one in group)) or None for group in groups]
    names = families
    if len(set(sizes)) > 1:
        names = [
            f"{name}, {size} {'subject' if size == 1 else 'subjects'}" if size else name
            for name, size in zip(families, sizes, strict=True)
        ]
    names = [
        f"{name} [{group[0][0].name}]" if names.count(name) > 1 else name
        for name, group in zip(names, groups, strict=True)
    ]
    return list(zip(names, families, sizes, strict=True))


def _told_apart(
    firsts: list[tuple[Run, dict[str, Any]]], describe: Callable[[Run, Mapping[str, Any]], dict[str, Any]]
) -> list[str]:
    recipes = [str(experiment.get("recipe", run.name)) for run, experiment in firsts]
    described = [describe(run, experiment) for run, experiment in firsts]
    networks = [str(experiment.get("options", {}).get("network", "")) for _, experiment in firsts]
    if (
        len(set(filter(None, networks))) > 1
    ):  # of several networks, each is named, so that siblings read alike
        pairs = zip(recipes, networks, strict=True)
        recipes = [f"{recipe}, {network}" if network else recipe for recipe, network in pairs]
    names = []
    for recipe, own in zip(recipes, described, strict=True):
        siblings = [other for name, other in zip(recipes, described, strict=True) if name == recipe]
        keys = dict.fromkeys(key for sibling in siblings for key in sibling)
        differing = [key for key in keys if any(sibling.get(key) != own.get(key) for sibling in siblings)]
        said = [key for key in differing if own.get(key) is not None and own[key] is not False]
        told = ", ".join(f"{key}={_short(own[key])}" for key in said)
        names.append(f"{recipe} ({told})" if told else recipe)
    return names


def _short(value: Any) -> Any:
    """Names joined, any other long list by its ends."""
    if isinstance(value, list) and value and all(isinstance(entry, str) for entry in value):
        return "+".join(value)
    return f"{value[0]}…{value[-1]}" if isinstance(value, list) and len(value) > 3 else value


def _options_told(run: Run, experiment: Mapping[str, Any]) -> dict[str, Any]:
    """The options by which two runs of one recipe may be told apart, those of the network among them."""
    told = _options(experiment)
    for name in ("network_options", "student_options"):
        inner = told.pop(name, None)
        told |= inner if isinstance(inner, Mapping) else {}
    return told


def _description(run: Run, experiment: Mapping[str, Any]) -> dict[str, Any]:
    """Everything by which two runs of one recipe may be told apart."""
    settings = [experiment.get(name) for name in SETTINGS]
    told = {key: value for part in settings if isinstance(part, Mapping) for key, value in part.items()}
    return {**_options_told(run, experiment), **told, **_prepared(run)}


def training_cases(run: Run) -> set[str]:
    """The cases that the run was trained on, as its split.json says; empty where it has none."""
    return set(map(str, run.read(run.split).get("train", ()))) if run.split.is_file() else set()


def evaluation(run: Run, by: str = "case") -> Mapping[str, Any]:
    """How the run was judged: weights, tolerance_mm, empty, unit, and labelled_by where a teacher's answers
    stood for labels; nothing where it was not recorded."""
    recorded = _record(run, by)
    told: Mapping[str, Any] = run.read(recorded) if recorded.is_file() else {}
    return told


def _record(run: Run, by: str) -> Path:
    return (run.folder if by == "case" else run.slices) / "evaluation.json"


def folder_name(path: Any) -> str:
    """The last part of a folder's path: reports are shared, and the rest of the path is the user's own."""
    return Path(str(path)).name if path else "DATA"
