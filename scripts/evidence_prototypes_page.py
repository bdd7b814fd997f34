"""The page about results/hippocampus-prototypes, its figures and its table in the README, from those files alone.

    python scripts/evidence_prototypes_page.py
    python scripts/evidence_prototypes_page.py --results FOLDER --page PAGE.md    # a trial; README untouched

A row appears with the first of its seeds, and the page says which are not complete.
"""

from __future__ import annotations

from collections.abc import Mapping

import evidence_arguments as arguments
from evidence_prototypes import RESULTS, VIEW
from evidence_prototypes_figures import against_subjects, boxes
from evidence_prototypes_rows import ALONE, CONTROL, EVERYONE, LABELS, Evidence, Row, read
from evidence_prototypes_tables import (
    any_of,
    beside,
    costs,
    differences,
    few,
    of_volumes,
    score,
    seeds_apart,
    short_table,
    table,
    teachers,
)
from evidence_prototypes_words import reading
from evidence_tables import ROOT, put_into_readme

from distilseg.report import words
from distilseg.report.comparison import MEAN
from distilseg.report.pictures import standalone

PAGE = ROOT / "docs" / "evidence" / "hippocampus-prototypes.md"
METHOD = ROOT / "docs" / "explanation" / "prototype-distillation.md"
HEAD = """\
# From volumes to single slices on hippocampus MR

*Written by `python scripts/evidence_prototypes_page.py` from `results/hippocampus-prototypes`; do not edit.*
"""
EMPTY = """
No runs have been collected yet: `python scripts/evidence_prototypes.py train`, then `collect`, then this script.
"""


def main() -> None:
    given = arguments.page(__doc__, RESULTS, PAGE)
    found = read(given.results)
    if found is None:
        given.page.write_text(HEAD + EMPTY + _method(), encoding="utf-8")
        return
    drawn = {"slices": boxes(found), "subjects": against_subjects(found)}
    figures = {name: given.page.with_name(f"{given.page.stem}-{name}.svg") for name in drawn if drawn[name]}
    for name, path in figures.items():
        path.write_text(standalone(drawn[name]), encoding="utf-8")
    given.page.write_text(page(found, {name: path.name for name, path in figures.items()}), encoding="utf-8")
    if given.page == PAGE:
        put_into_readme("prototypes", short_table(found))


def page(found: Evidence, figures: Mapping[str, str]) -> str:
    run = found.any.runs[0]
    about = run.read(run.experiment)
    waiting = f" Not complete yet: {'; '.join(found.waiting)}." if found.waiting else ""
    parts = [
        HEAD,
        f"{_done(found)}{waiting}\n",
        _method(),
        f"![Dice of the slices]({figures['slices']})\n",
        "*Boxes: quartiles and median over slices that hold the structure, each the mean over seeds; whiskers to"
        " the last slice within 1.5 times the box; dots beyond.*\n",
        "## What to make of it\n",
        "Differences are paired by slice; in brackets their 95 % bootstrap interval. p is of Wilcoxon's signed-rank"
        " test, then, in brackets, corrected (Holm) for the comparisons of its question. Slices of one subject"
        " resemble each other, so every difference is tested again with each subject's slices averaged. It counts as"
        " shown where both intervals exclude 0, both corrected p are below 0.05, and it exceeds the standard"
        " deviation of mean Dice over seeds; everything else lies inside the noise.\n",
        reading(found),
        "## The students\n",
        "Mean Dice over slices (95 % bootstrap interval of that mean). A structure counts where the slice holds it;"
        f" the {MEAN} is taken slice by slice.\n",
        table(found),
        "## Distilled less control\n",
        differences(found, "distilled"),
        "## What longer training gives: control less alone\n",
        differences(found, "longer"),
        "## Swap of teachers\n",
        teachers(found),
        differences(found, "teachers"),
        differences(found, "swap"),
        "## Few subjects\n",
        *([f"![Dice against training subjects]({figures['subjects']})\n"] if "subjects" in figures else []),
        few(found),
        "## Seeds\n",
        seeds_apart(found),
        "## Cost and budget\n",
        costs(found),
        _budget(found),
        "## Beside the paper\n",
        beside(found),
        "## Make it again\n",
        "The whole table: `python scripts/evidence_prototypes.py train`, then `collect`, then this page's script;"
        " `--share` lengthens the students' training. Which subjects teach and which learn is that script's own; on"
        " your data the same steps are:\n",
        "```text",
        "distilseg train supervised --data VOLUMES",
        f"distilseg prototypes TEACHERS_RUN --view {VIEW} --out prototypes.json",
        *_commands(found),
        "```\n",
        f"*Scans: {about['dataset']['licence']}, Medical Segmentation Decathlon, Task04.*\n",
    ]
    return "\n".join(parts)


def _done(found: Evidence) -> str:
    """What was done, in three sentences."""
    run = found.any.runs[0]
    split = run.read(run.split)
    cases = {name: teacher.runs[0].read(teacher.runs[0].split) for name, teacher in found.teachers.items()}
    told = "; ".join(
        f"{name} on {len(cases[name]['train'])} volumes"
        f" ({teacher.steps:,.0f} steps, Dice {score(of_volumes(teacher))} on {len(teacher.cases)} others)"
        for name, teacher in found.teachers.items()
    )
    subjects = {part: len({case.rpartition("-")[0] for case in ids}) for part, ids in split.items()}
    seeds = sorted({seed for by_seed in found.rows.values() for seed in by_seed})
    judged = len(found.values(next(iter(found.rows))))
    return (
        f"3D teachers learnt on volumes of one half of the subjects: {told or 'not there yet'}. 2D students learnt on one"
        f" {VIEW} slice of each of up to {EVERYONE} subjects of the other half, chosen by {len(split['validation'])}"
        f" slices of {subjects['validation']} more: first alone, then on from their best weights with the prototypes"
        f" of a teacher (distilled) or without (control), with seed{'s' * (len(seeds) > 1)}"
        f" {', '.join(map(str, seeds))} and {_steps(found)}. {len(split['test'])} slices of {subjects['test']}"
        f" subjects whom neither teachers nor students saw judge them; {judged} hold a structure."
    )


def _steps(found: Evidence) -> str:
    told = []
    for network, label in LABELS.items():
        steps = [
            any_of(found, Row(network, EVERYONE, way)).steps
            for way in (ALONE, CONTROL)
            if Row(network, EVERYONE, way) in found.rows
        ]
        if steps:
            told.append(f"{label} {' + '.join(f'{n:,.0f}' for n in steps if n)}")
    return f"steps {', '.join(told)}" if told else "steps as below"


def _method() -> str:
    if not METHOD.is_file():
        return ""
    return "What the method is: [Prototype distillation](../explanation/prototype-distillation.md).\n"


def _commands(found: Evidence) -> list[str]:
    """What trains student, control and distilled at once: the first seed of each network."""
    told = []
    for network in LABELS:
        row = Row(network, EVERYONE, "A")
        if row in found.rows:
            contender = any_of(found, row)
            about = contender.runs[0].read(contender.runs[0].experiment)
            alone = found.rows.get(Row(network, EVERYONE, ALONE))
            budget = {"steps": round(next(iter(alone.values())).steps or 0)} if alone else about["budget"]
            asked = {**about["asked"], "prototypes": "prototypes.json"}
            dataset = {**about["dataset"], "folder": "SLICES_OR_VOLUMES"}
            told.append(
                words.train_command(
                    contender, {**about, "asked": asked, "budget": budget, "dataset": dataset}
                )
            )
    return told


def _budget(found: Evidence) -> str:
    run = found.any.runs[0]
    about, cost = run.read(run.experiment), found.any.cost
    machine, versions = about["machine"], about["versions"]
    every = [c for by_seed in found.rows.values() for c in by_seed.values()] + list(found.teachers.values())
    hours = sum(c.seconds or 0.0 for c in every) / 3600
    return (
        f"{len(every)} runs, {hours:.1f} hours of training in all on {cost['processor']}, {machine['threads']} thread"
        f" a run with others beside it, {machine['precision']}: take ratios. Training: the mean over seeds; control and"
        " distilled go on from the student alone, whose steps come before theirs. GFLOPs are multiply–accumulates of"
        " one patch, divided by 10⁹; a prototype costs a prediction nothing. distilseg"
        f" {versions['distilseg']}, PyTorch {versions['torch']}, Python {versions['python']}.\n"
    )


if __name__ == "__main__":
    main()
