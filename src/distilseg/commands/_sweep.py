"""Trainings that are handed out: a line for every recipe, seed and fold, and before them what these need.

stage 1      data               scans are prepared, and teachers of others answer, each once
stage 2 ...  train --only KEY   teachers that are trained, and controls: each once, whoever needs it
the last     train              the lines; they find what is there, train their own run, and judge it
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from inspect import signature
from pathlib import Path
from typing import Any

from ..data.planning.plan import Plan, save_plan
from ..engines.submission import Element
from ..errors import UserError
from ..training.budget import Budget
from ..training.experiment import Experiment
from ..training.foreign import Foreign
from ..training.preflight import check_networks, in_order
from ._asked import Asked, asked
from ._handed_out import Read
from ._train import DATA

# What `train` takes beside what `asked` does: where and how it runs.
_MANNER = ("runs", "machine", "evaluate", "cache", "threads", "tensorboard", "only")
_BUDGET = ("steps", "epochs", "minutes")


def lines_of(
    words: Sequence[str],
    *,
    recipes: Sequence[str] = (),
    seeds: Sequence[int] = (),
    folds: int | None = None,
) -> list[tuple[str, list[str]]]:
    """The command lines of a sweep, each with its name: every recipe with every seed and every fold.

    `words` is a command line of `train`, without the recipe where `recipes` names some. Raises `UserError`
    where it says itself what is swept over.
    """
    command, *options = words
    own = options[:1] if options and not options[0].startswith("-") else []
    if recipes and own:
        raise UserError(f"--recipes and the recipe {own[0]} are both given", "leave one of them out")
    if not recipes and not own:
        raise UserError("no recipe is named", "write 'train RECIPE --data D', or add --recipes")
    for swept, option in ((seeds, "--seed"), (folds, "--folds"), (folds, "--fold")):
        if swept and any(word.partition("=")[0] == option for word in options):
            raise UserError(f"{option} is in the command, and is swept over too", "leave one of them out")
    if len({*recipes}) < len(recipes) or len({*seeds}) < len(seeds):
        raise UserError("a recipe or a seed is named twice", "name each once")
    if folds is not None and folds < 2:
        raise UserError(f"--folds {folds} are no folds", "give 2 or more")
    found = []
    for recipe in recipes or own:
        for seed in seeds or (None,):
            for fold in range(folds) if folds else (None,):
                line = [command, recipe, *options[len(own) :]]
                name = [recipe]
                if seed is not None:
                    line += ["--seed", str(seed)]
                    name += [f"seed {seed}"]
                if fold is not None:
                    line += ["--folds", str(folds), "--fold", str(fold)]
                    name += [f"fold {fold}"]
                found.append((", ".join(name), line))
    return found


def planned(
    lines: Sequence[tuple[str, list[str]]], read: Read, place: Path, *, dry_run: bool
) -> tuple[list[tuple[str, list[str]]], Plan | None]:
    """The lines, with a plan in `place` that all share, that of fold 0, where they name none; and that plan.

    With `dry_run` it is not written.
    """
    told = read(lines[0][1]).given
    if told["plan"] is not None:
        return list(lines), None
    if told["folds"] is not None:
        told = {**told, "fold": 0}
    plan = _asked(told).by_size[0][1][0][0].plan
    digest = hashlib.blake2b(plan.model_dump_json().encode(), digest_size=4).hexdigest()
    path = place / f"plan-{digest}.json"
    if not dry_run:
        save_plan(path, plan)
    return [(name, [*words, "--plan", str(path)]) for name, words in lines], plan


def elements_of(
    lines: Sequence[tuple[str, Sequence[str]]], read: Read, plan: Plan | None = None
) -> list[Element]:
    """The elements, stage by stage; `plan`: that of all lines, whose file may not be there yet.

    Raises `UserError` for what any of the trainings would refuse.
    """
    evaluate = bool(read(lines[0][1]).given["evaluate"])
    of_all = {} if plan is None else {"plan": plan}
    told = [(name, list(words), _asked({**read(words).given, **of_all})) for name, words in lines]
    data: dict[frozenset[str], Element] = {}
    steps = [_line(*one, judged=evaluate) for one in told]
    makers = {key: step for step in steps for key in step.element.runs}
    if len(makers) < sum(len(step.element.runs) for step in steps):
        raise UserError("two of the trainings are the same", "name each recipe, seed and option once")
    for recipe in dict.fromkeys(words[1] for _, words, _ in told):
        first = next(line for _, words, line in told if words[1] == recipe)
        for one in _needed(first):
            check_networks(one)
    for _, words, line in told:
        for one in _needed(line):
            if one.key not in makers:
                steps.append(_before(one, words))
                makers[one.key] = steps[-1]
        whole = [word for n, word in enumerate(words) if "--fold" not in (word, words[n - 1])]  # all cases
        only_data = Element(f"data of {words[1]}", (*whole, "--only", DATA))
        data.setdefault(_prepared(_needed(line)), only_data)

    def stage(step: _Step) -> int:
        before = (makers[key] for key in step.needs if makers[key] is not step)
        return 1 + max(map(stage, before), default=1)

    staged = [replace(step.element, stage=stage(step)) for step in steps]
    return [*data.values(), *sorted(staged, key=lambda element: element.stage)]


@dataclass(frozen=True)
class _Step:
    """An element and the keys of the runs that are to be there before it."""

    element: Element
    needs: frozenset[str]


def _line(name: str, words: Sequence[str], line: Asked, *, judged: bool) -> _Step:
    own = tuple(dict.fromkeys(one.key for one in line.own))
    judged = judged and bool(line.by_size[0][1][0][0].split.test)
    needs = frozenset(one.key for one in _needed(line)) - {*own}
    return _Step(Element(name, tuple(words), runs=own, judged=judged), needs)


def _before(one: Experiment, words: Sequence[str]) -> _Step:
    named = f"{one.recipe} for {words[1]}, seed {one.study.seed}"
    needs = frozenset(other.key for other in in_order(one)) - {one.key}
    return _Step(Element(named, (*words, "--only", one.key), runs=(one.key,)), needs)


def _needed(line: Asked) -> list[Experiment]:
    return [one for wanted in line.wanted for one in in_order(wanted)]


def _asked(told: Mapping[str, Any]) -> Asked:
    given = {name: value for name, value in told.items() if name not in _MANNER}
    budget = {name: given.pop(name) for name in _BUDGET if given.get(name) is not None}
    own = {name: given.pop(name) for name in signature(asked).parameters if name in given}
    settings = {name: value for name, value in given.items() if name not in _BUDGET}
    return asked(**own, budget=Budget(**budget) if budget else None, settings=settings)


def _prepared(needed: Sequence[Experiment]) -> frozenset[str]:
    """What tells apart which scans are prepared, how, and who answers for them."""
    found = set()
    for one in needed:
        study = one.study
        cases = [str(study.dataset.folder), study.subjects, study.unlabelled, one.seen]
        found.add(json.dumps([cases, study.plan.model_dump(mode="json")], default=str))
        others = [teacher for teacher in one.teachers.values() if isinstance(teacher, Foreign)]
        found |= {json.dumps([cases, teacher.identity], default=str) for teacher in others}
    return frozenset(found)
