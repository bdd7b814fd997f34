"""The tables of the prototype evidence, in Markdown: students, differences, teachers, few subjects, seeds, costs."""

from __future__ import annotations

import statistics

from evidence_prototypes import TEACHERS, VIEW
from evidence_prototypes_rows import (
    ALONE,
    CONTROL,
    DICE,
    EVERYONE,
    LABELS,
    LIGHT,
    PAPER,
    SIZES,
    Evidence,
    Row,
    Test,
    signed,
)

from distilseg.evaluation.significance import Summary, summarise
from distilseg.report import words
from distilseg.report.comparison import MEAN
from distilseg.report.contenders import Contender

WAYS = {ALONE: "alone", CONTROL: "control", **{name: f"prototypes of {name}" for name in TEACHERS}}


def table(found: Evidence) -> str:
    """Markdown: every row of all subjects but the swapped teachers'."""
    heads = (*found.structures, "seeds", "parameters")
    lines = [f"| network | taught | {' | '.join(heads)} |", "|---|---|" + "---|" * len(heads)]
    lines += [
        f"| {LABELS[row.network]} | {WAYS[row.way]} |"
        f" {' | '.join(score(found.score(row, structure)) for structure in found.structures)}"
        f" | {len(found.rows[row])} | {words.count(any_of(found, row).cost.get('parameters'))} |"
        for row in found.rows
        if row.subjects == EVERYONE and row.way in (ALONE, CONTROL, "A")
    ]
    return "\n".join(lines) + "\n"


def short_table(found: Evidence) -> str:
    """For the README: each network of all subjects."""
    tests = {a.network: test for (a, _), test in found.tests("distilled").items()}
    lines = [
        "| student | seeds | alone | control | distilled | distilled less control | p, slices | p, subjects | verdict |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for network in dict.fromkeys(row.network for row in found.rows):
        cells = [_maybe(found, Row(network, EVERYONE, way)) for way in (ALONE, CONTROL, "A")]
        test = tests.get(network)
        if test:
            cells += [test.told, _p(test.p_holm), _p(test.p_subject_holm), _brief(test)]
        else:
            cells += [words.MISSING] * 3 + ["not there yet"]
        seeds = str(len(test.by_seed)) if test else words.MISSING
        lines.append(f"| {LABELS[network]} | {seeds} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def differences(found: Evidence, question: str) -> str:
    """Every pair of a question: the mean over structures with its verdict, then each structure."""
    by_structure = {s: found.tests(question, s) for s in (MEAN, *found.structures[:-1])}
    if not by_structure[MEAN]:
        return "Not there yet.\n"
    lines = [
        "| student | difference of Dice, slices | p, slices | 95 % interval, subjects | p, subjects | subjects that gain"
        " | effect d | by seed | verdict |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for pair in by_structure[MEAN]:
        name = f"{LABELS[pair[0].network]}, {WAYS[pair[0].way]} less {WAYS[pair[1].way]}"
        for structure, tests in by_structure.items():
            cells = _test(tests[pair])
            verdict = tests[pair].verdict if structure == MEAN else _brief(tests[pair])
            label = name if structure == MEAN else f"*{structure}*"
            lines.append(f"| {label} | {' | '.join(cells)} | {verdict} |")
    return "\n".join(lines) + "\n"


def _test(test: Test) -> list[str]:
    return [
        test.told,
        f"{_p(test.p)} ({_p(test.p_holm)})",
        words.interval(test.subject_interval, DICE),
        f"{_p(test.p_subject)} ({_p(test.p_subject_holm)})",
        f"{test.better} of {test.subjects}",
        f"{words.number(test.effect, 2, sign=True)}, {test.size}",
        ", ".join(map(signed, test.by_seed)),
    ]


def _brief(test: Test) -> str:
    return "inside the noise" if test.shown == "none" else f"shown to be {test.shown}"


def teachers(found: Evidence) -> str:
    """What teachers score on their own volumes, their students, and how alike their prototypes are."""
    alike = found.alike()
    lines = [
        f"{LABELS[LIGHT]}, {EVERYONE} subjects. A learnt on subjects of the whole half, B and C on those of two parts"
        " of it that share nobody. Correlation: Pearson's, over all entries of two prototype matrices.\n",
        f"| teacher | its Dice on volumes | {LABELS[LIGHT]} with its prototypes |"
        f" {' | '.join(f'correlation with {name}' for name in TEACHERS)} |",
        "|---|---|---|" + "---|" * len(TEACHERS),
    ]
    for name in TEACHERS:
        cells = [
            score(of_volumes(found.teachers[name])) if name in found.teachers else words.MISSING,
            _maybe(found, Row(LIGHT, EVERYONE, name)),
        ]
        for other in TEACHERS:
            correlation = alike.get((min(name, other), max(name, other)))
            cells.append("" if name == other else words.number(correlation, 3))
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def few(found: Evidence) -> str:
    tests = {a.subjects: test for (a, _), test in found.tests("few").items()}
    lines = [
        f"{LABELS[LIGHT]}. Fewer subjects are always among more, and the same in every seed.\n",
        "| training subjects | alone | control | distilled | distilled less control | p, slices"
        " | p, subjects | seeds | verdict |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for subjects in SIZES:
        cells = [_maybe(found, Row(LIGHT, subjects, way)) for way in (ALONE, CONTROL, "A")]
        if test := tests.get(subjects):
            cells += [test.told, *_test(test)[1::2][:2], str(len(test.by_seed)), test.verdict]
        else:
            cells += [words.MISSING] * 4 + ["not there yet"]
        lines.append(f"| {subjects} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def seeds_apart(found: Evidence) -> str:
    seeds = sorted({seed for by_seed in found.rows.values() for seed in by_seed})
    lines = [
        f"| mean Dice | subjects | {' | '.join(f'seed {seed}' for seed in seeds)} |",
        "|---|---|" + "---|" * len(seeds),
    ]
    for row in found.rows:
        of_seed = found.by_seed(row)
        cells = " | ".join(words.number(of_seed.get(seed), 3) for seed in seeds)
        lines.append(f"| {LABELS[row.network]}, {WAYS[row.way]} | {row.subjects} | {cells} |")
    return "\n".join(lines) + "\n"


def costs(found: Evidence) -> str:
    heads = ("parameters", "GFLOPs", "seconds a case", "steps", "training")
    lines = [f"| run | {' | '.join(heads)} |", "|---|" + "---|" * len(heads)]
    named = {f"teacher {name}, 3D": [teacher] for name, teacher in found.teachers.items()}
    named |= {
        f"{LABELS[row.network]}, {WAYS[row.way]}": list(by_seed.values())
        for row, by_seed in found.rows.items()
        if row.subjects == EVERYONE
    }
    for name, contenders in named.items():
        told = words.costs(contenders[0])
        training = words.duration(statistics.fmean(c.seconds or 0.0 for c in contenders))
        lines.append(f"| {name} | {' | '.join(told[head] for head in heads[:-1])} | {training} |")
    return "\n".join(lines) + "\n"


def beside(found: Evidence) -> str:
    tests = {a.network: test for (a, _), test in found.tests("both").items()}
    lines = [
        "The paper's are means over six abdominal organs; none is its student without distillation, which here is the"
        " student alone. It is the control, not none, that tells prototypes from longer training.\n",
        "| student | paper: none | teacher BTCV | teacher non-contrast CT | here: alone | control | distilled"
        " | distilled less alone |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for network, label in LABELS.items():
        cells = [f"{value:.3f}" for value in PAPER.get(network, ())] or [words.MISSING] * 3
        cells += [_maybe(found, Row(network, EVERYONE, way)) for way in (ALONE, CONTROL, "A")]
        cells.append(tests[network].told if network in tests else words.MISSING)
        lines.append(f"| {label} | {' | '.join(cells)} |")
    run = found.any.runs[0]
    settings = run.read(run.experiment)["optimisation"]
    return "\n".join(
        [
            *lines,
            "",
            "What differs here:\n",
            "| | paper | this table |",
            "|---|---|---|",
            "| slices | abdominal CT, one axial slice a subject, 348 to test |"
            f" hippocampus MR, {VIEW}, {len(run.read(run.split)['test'])} to test |",
            "| volumes | BTCV, or non-contrast CT: other scanners, other contrast |"
            " the same collection, other subjects |",
            "| teacher | UNesT | a 3D DynUNet |",
            "| training | SGD, 150 to 400 epochs, then 100 |"
            f" {settings['optimizer']}, {settings['schedule']}, steps as above |",
            "",
        ]
    )


# Cells


def any_of(found: Evidence, row: Row) -> Contender:
    return next(iter(found.rows[row].values()))


def of_volumes(teacher: Contender) -> Summary:
    """Mean Dice over structures of the volumes that judge it."""
    tables = [values for (_, metric), values in teacher.values.items() if metric == DICE.name]
    return summarise([statistics.fmean(table[case] for table in tables) for case in tables[0]])


def score(summary: Summary) -> str:
    told = words.number(summary.mean, DICE.decimals)
    return f"{told} ({words.interval(summary.interval, DICE, sign=False)})"


def _maybe(found: Evidence, row: Row) -> str:
    return score(found.score(row)) if row in found.rows else words.MISSING


def _p(p: float) -> str:
    return words.p_value(p).removeprefix("= ")
