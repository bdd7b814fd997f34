"""The report as one HTML file that needs nothing else: no script, no address, no font to load.

Everything that comes from a run (names of cases, options, credits) is escaped; only our own SVG is not.
"""

from __future__ import annotations

import datetime
import functools
import platform
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import __version__
from ..evaluation.agreement import titled
from ..files import write_text
from ..installing import from_wheel
from ..runs import Run, seen_cases
from . import curves, figures, overlays, sizes, verdicts, words
from .bubbles import bubbles
from .cautions import leaks
from .comparison import MEAN, RELEVANT, Comparison, compare_runs
from .contenders import evaluation, training_cases
from .drawing import TINTS, in_page_colours
from .folds import fold_scores
from .stages import stage_bars

if TYPE_CHECKING:
    from jinja2 import Template

MOST_CASES_LISTED = 300


def write_report(
    runs: Sequence[Run],
    path: Path | str,
    *,
    control: Run | None = None,
    metrics: Sequence[str] = ("dice", "hd95", "nsd"),
    title: str | None = None,
    notes: Sequence[str] = (),
    date: datetime.date | None = None,
    relevant: float = RELEVANT,
) -> Comparison:
    """Compares `runs` (one run is enough) and writes the page to `path`, whole or not at all.

    title: of the page; by default what was compared. notes: sentences of the caller's that the reader should
    see above the table. date: of the page; by default today. relevant: see `compare_runs`.
    """
    comparison = compare_runs(runs, control=control, metrics=metrics, relevant=relevant)
    write_text(Path(path), render(comparison, title=title, notes=notes, date=date))
    return comparison


def render(
    comparison: Comparison,
    *,
    title: str | None = None,
    notes: Sequence[str] = (),
    date: datetime.date | None = None,
) -> str:
    """The page's text."""
    first = comparison.contenders[0].runs[0]
    experiment = first.read(first.experiment)
    return _template().render(
        title=title or _title(comparison),
        date=(date or datetime.date.today()).isoformat(),
        comparison=comparison,
        words=words,
        dataset={"name": "", "licence": "", "reference": "", **comparison.dataset},
        plan={"spacing_mm": (), "patch": (), "modalities": ()}
        | (first.read(first.plan) if first.plan.is_file() else {}),
        modalities=_modalities(comparison),
        unseen=all(seen_cases(r) for c in comparison.contenders for r in c.runs)
        and not list(leaks(comparison.contenders)),
        trained_on=_trained_on(comparison),
        evaluation=dict(evaluation(first)),  # whose absent fields the page asks for
        versions=_versions(experiment),
        devices=_devices(comparison),
        cards=_cards(comparison),
        notes=notes,
        by_subjects=sizes.title(comparison) if comparison.metrics else "",
        folds=fold_scores(comparison),
        dice=titled("Dice", comparison.labelled_by),
        validated_by=curves.validated_by(comparison),
        costs=[(c, words.costs(c)) for c in comparison.contenders],
        listed=_listed(comparison),
        commands=[
            words.train_command(contender, run.read(run.experiment))
            for contender in comparison.contenders
            for run in contender.runs
        ],
        runs_folder=shlex.quote(f"runs/{comparison.dataset.get('name') or 'DATASET'}"),
        install=from_wheel("train"),
        again=words.compare_command(comparison),
        tints=TINTS,
        figures=_figures(comparison),
        colours={name: in_page_colours(tint) for name, tint in figures.colours(comparison).items()},
        MEAN=MEAN,
        MISSING=words.MISSING,
    )


def _modalities(comparison: Comparison) -> str:
    """What the networks are shown; by name where they are shown different scans."""
    shown: dict[str, list[str]] = {}
    for contender in comparison.contenders:
        run = contender.runs[0]
        plan = run.read(run.plan) if run.plan.is_file() else {}
        names = shown.setdefault(", ".join(plan.get("modalities", ())), [])
        names += [contender.family] if contender.family not in names else []
    if len(shown) == 1:
        return next(iter(shown))
    return "; ".join(f"{what} ({', '.join(names)})" for what, names in shown.items() if what)


def _trained_on(comparison: Comparison) -> str:
    """How many cases the runs were trained on; how many subjects, where these differ."""
    numbers = sorted({c.subjects for c in comparison.contenders if c.subjects})
    if len(numbers) > 1:
        return f"trained on {_any_of(numbers)} subjects"
    first = comparison.contenders[-1].runs[0]
    cases, without = len(training_cases(first)), len(first.read(first.experiment).get("unlabelled", ()))
    told = [f"{cases} trained on"] * bool(cases) + [f"{without} without labels learned from"] * bool(without)
    return ", ".join(told)


def _any_of(numbers: Sequence[int]) -> str:
    return f"{', '.join(map(str, numbers[:-1]))} or {numbers[-1]}"


@functools.cache
def _template() -> Template:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("distilseg.report", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.j2")


def _figures(comparison: Comparison) -> dict[str, Any]:
    """Every figure as markup that is ours and safe; "" where there is nothing to draw."""
    from markupsafe import Markup

    students = [c.name for c in comparison.contenders if comparison.controls[c.name]]
    return {
        "differences": {name: Markup(figures.paired_differences(comparison, name)) for name in students},
        "distributions": Markup(figures.distributions(comparison)),
        "overlays": Markup(overlays.overlays(comparison)),
        "validation": Markup(curves.validation_curves(comparison)),
        "subjects": Markup(sizes.size_curves(comparison)),
        "losses": Markup(curves.loss_curves(comparison)),
        "cost": Markup(figures.cost_bars(comparison)),
        "stages": Markup(stage_bars(comparison)),
        "bubbles": Markup(bubbles(comparison)),
    }


def _title(comparison: Comparison) -> str:
    names = [c.name for c in comparison.contenders]
    students = [name for name in names if comparison.controls[name]]
    dataset = comparison.dataset.get("name") or "unknown dataset"
    if comparison.labelled_by:
        dataset += f", by agreement with {comparison.labelled_by}"
    if found := sizes.families(comparison):
        numbers = sizes.numbers(found)
        tested = dict.fromkeys(comparison.contender(name).family for name in students)
        told = " and ".join(tested) if len(tested) < 3 else f"{len(tested)} recipes"
        return f"{told} with {_any_of(numbers)} subjects, on {dataset}"
    if len(students) == 1 and len(names) == 2:
        return f"{students[0]} and its control {comparison.controls[students[0]]}, on {dataset}"
    return f"{names[0]} on {dataset}" if len(names) == 1 else f"{len(names)} recipes on {dataset}"


def _cards(comparison: Comparison) -> list[dict[str, str]]:
    """For each contender with a control: outcome, levels, sentence, and the other metrics in short."""
    cards = []
    for contender in comparison.contenders:
        name = contender.name
        if not comparison.controls[name] or not comparison.metrics:
            continue
        first, *others = comparison.metrics
        told = {
            metric: comparison.differences.get((name, comparison.overall, metric.name))
            for metric in comparison.metrics
        }
        difference = told[first]
        outcome = difference.outcome if difference else "none"
        cards.append(
            {
                "name": name,
                "outcome": outcome,
                "label": verdicts.LABELS[outcome],
                "own": words.number(difference.own if difference else None, first.decimals),
                "other": words.number(difference.other if difference else None, first.decimals),
                "metric": first.title,
                "sentence": verdicts.verdict(comparison, name, first),
                "others": "; ".join(
                    verdicts.in_short(comparison, name, metric, other)
                    for metric in others
                    if (other := told[metric])
                ),
            }
        )
    return cards


def _listed(comparison: Comparison) -> dict[str, Any]:
    """Every case by the first metric, mean over structures: the first contender and the differences to it."""
    if not comparison.metrics:
        return {}
    metric = comparison.metrics[0]
    scores = {
        c.name: comparison.scores.get((c.name, comparison.overall, metric.name))
        for c in comparison.contenders
    }
    rows = [
        (
            case,
            [
                words.number(score.values.get(case), metric.decimals) if score else words.MISSING
                for score in scores.values()
            ],
        )
        for case in comparison.cases[:MOST_CASES_LISTED]
    ]
    return {"metric": metric, "rows": rows, "left_out": len(comparison.cases) - len(rows)}


def _versions(experiment: dict[str, Any]) -> str:
    versions = {
        "distilseg": __version__,
        "python": platform.python_version(),
        **(experiment.get("versions") or {}),
    }
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def _devices(comparison: Comparison) -> str:
    """Where time and memory were measured; several, if the runs differ in it."""
    told = []
    for cost in (contender.cost for contender in comparison.contenders):
        threads = f"{cost['threads']:.0f} threads" if cost.get("threads") else None
        told.append(
            ", ".join(str(part) for part in (cost.get("device"), cost.get("processor"), threads) if part)
        )
    return "; ".join(dict.fromkeys(filter(None, told)))
