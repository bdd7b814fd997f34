"""Numbers for people, the same in the terminal and on the page."""

from __future__ import annotations

import json
import math
import re
import shlex
from collections.abc import Mapping
from typing import Any

from .comparison import Comparison
from .contenders import METRICS, Contender, Metric, folder_name
from .folds import FoldScore
from .score import Score

MISSING = "–"
INCOMPLETE = " †"  # beside a mean distance that was made without some values
INCOMPLETE_TOLD = "†: without undefined values, which are its worst; look at Dice as well."


def number(value: float | None, decimals: int, *, sign: bool = False) -> str:
    """`value` with a true minus sign; a dash where there is none."""
    if value is None or not math.isfinite(value):
        return MISSING
    if round(value, decimals) == 0:
        value = 0.0
    return f"{value:{'+' if sign and value else ''}.{decimals}f}".replace("-", "−")


def p_value(p: float) -> str:
    """`= 0.41`, `< 0.001`, or what says that there is none."""
    if not math.isfinite(p):
        return "not testable"
    return "< 0.001" if p < 0.001 else f"= {p:.3f}" if p < 0.1 else f"= {p:.2f}"


def score(value: Score, metric: Metric) -> str:
    """Mean ± standard deviation, marked where it is incomplete."""
    if not value.n:
        return MISSING
    return (
        f"{number(value.mean, metric.decimals)} ± {number(value.std, metric.decimals)}{mark(value, metric)}"
    )


def mark(value: Score, metric: Metric) -> str:
    """What stands beside an incomplete mean of distances, which leave out the worst cases."""
    return INCOMPLETE if not metric.is_share and value.incomplete and value.n else ""


def any_incomplete(scores: Mapping[tuple[str, str, str], Score]) -> bool:
    """Whether a mean is marked, of those by run, structure and metric."""
    return any(mark(value, METRICS[metric]) for (_, _, metric), value in scores.items())


def left_out(value: Score, metric: Metric) -> str:
    """What a mean was made without, in short; "" where it is whole."""
    cases = f"{value.excluded} of {value.n + value.excluded} undefined" if value.excluded else ""
    structures = f"{value.lacking} {'structure' if value.lacking == 1 else 'structures'} undefined"
    return ", ".join(filter(None, [cases, structures * bool(value.lacking and not metric.is_share)]))


def fold_score(value: FoldScore, metric: Metric) -> str:
    """Mean ± standard deviation over folds, and each fold in brackets."""
    each = ", ".join(number(mean, metric.decimals) for mean in value.means)
    return f"{number(value.mean, metric.decimals)} ± {number(value.std, metric.decimals)} ({each})"


def interval(low_high: tuple[float, float], metric: Metric, *, sign: bool = True) -> str:
    low, high = (number(value, metric.decimals, sign=sign) for value in low_high)
    return f"{low} to {high}"


def heading(metric: Metric) -> str:
    """The metric's name, its unit, and which direction is better."""
    return f"{metric.title}{f' [{metric.unit}]' if metric.unit else ''} {metric.arrow}"


# Cost


COSTS = ("parameters", "GFLOPs", "seconds a case", "peak memory", "steps", "training time", "seeds")


def costs(contender: Contender) -> dict[str, str]:
    """What a contender costs and was given, by the names of `COSTS`."""
    cost = contender.cost
    return {
        "parameters": count(cost.get("parameters")),
        "GFLOPs": giga(cost.get("multiply_accumulates")),
        "seconds a case": seconds(cost.get("seconds_per_case")) + " (busy)" * contender.busy,
        "peak memory": memory(cost.get("peak_memory_bytes")),
        "steps": f"{contender.steps:,.0f}" if contender.steps is not None else MISSING,
        "training time": duration(contender.seconds),
        "seeds": str(len(set(contender.seeds))),
    }


def count(value: float | None) -> str:
    if value is None:
        return MISSING
    for size, letter in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if value >= size:
            return f"{significant(value / size)}{letter}"
    return f"{value:.0f}"


def giga(value: float | None) -> str:
    return MISSING if value is None else significant(value / 1e9)


def seconds(value: float | None) -> str:
    return MISSING if value is None else f"{significant(value)} s"


def memory(value: float | None) -> str:
    if value is None:
        return MISSING
    return f"{significant(value / 2**30)} GiB" if value >= 2**30 else f"{significant(value / 2**20)} MiB"


def duration(value: float | None) -> str:
    if value is None:
        return MISSING
    if value < 120:
        return f"{value:.0f} s"
    return f"{value / 60:.0f} min" if value < 7200 else f"{value / 3600:.1f} h"


def significant(value: float) -> str:
    """Three significant digits, never in exponent form."""
    if value == 0:
        return "0"
    return f"{value:,.{max(0, 2 - math.floor(math.log10(abs(value))))}f}"


# Commands


def train_command(contender: Contender, experiment: Mapping[str, Any]) -> str:
    """The command line that makes this run again, on a dataset folder of the same name."""
    dataset = experiment.get("dataset") or {}
    folder = dataset.get("folder") or dataset.get("name") if isinstance(dataset, Mapping) else dataset
    words = ["distilseg", "train", contender.recipe, "--data", folder_name(folder)]
    budget = experiment.get("budget")
    asked = experiment.get("asked", contender.options)
    given = {**asked, **(budget if isinstance(budget, Mapping) else {})}
    for name, value in given.items():
        if name == "clip" and value is None:
            value = 0  # the command line's word for no limit
        if not re.fullmatch(r"[A-Za-z_]\w*", name) or value is None or value == {}:
            continue
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{flag}" if value else f"--no-{flag}")
        elif isinstance(value, Mapping):  # network_options: --network-option name=value, one each
            words += [w for k, v in value.items() for w in (f"--{flag.removesuffix('s')}", f"{k}={_word(v)}")]
        elif isinstance(value, list | tuple):
            words += [f"--{flag}", ",".join(_word(item) for item in value)]
        else:
            words += [f"--{flag}", _word(value)]
    subjects = experiment.get("subjects") or {}
    if subjects.get("drawn"):
        words += ["--subjects", str(subjects["training"])]
    if named := experiment.get("unlabelled_from"):
        words += ["--unlabelled", ",".join(folder_name(one) for one in named)]
    if drawn := isinstance(dataset, Mapping) and dataset.get("one_slice_per_subject"):
        words += [
            "--one-slice-per-subject",
            "--slice-view",
            drawn["view"],
            "--split-seed",
            str(drawn["seed"]),
        ]
    if experiment.get("seed") is not None:
        words += ["--seed", str(experiment["seed"])]
    return shlex.join(words)


def compare_command(comparison: Comparison) -> str:
    """The command line that makes the page again, typed where the runs' folders are."""
    words = ["distilseg", "compare", *(run.name for c in comparison.contenders for run in c.runs)]
    controls = {control for control in comparison.controls.values() if control}
    alone = [name for name, control in comparison.controls.items() if control is None]
    if len(controls) == 1 and controls == set(alone):  # of everyone else
        words += ["--control", comparison.contender(alone[0]).runs[0].name]
    if comparison.metrics:
        words += ["--metrics", ",".join(metric.name for metric in comparison.metrics)]
    return shlex.join([*words, "--html", "report.html"])


def _word(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)
