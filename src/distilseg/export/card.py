"""The model card, Markdown: what a student is for, what it was measured to do, whence it comes.

Text that others wrote goes through `markdown.py`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..data.planning.plan import Plan
from ..evaluation import summarise_rows
from ..evaluation.agreement import limits, titled
from ..hardware import BUSY
from ..installing import from_wheel
from ..runs import Run
from ..runtime.artefact import Description
from .inference_windows import Fitted
from .markdown import code, plain
from .provenance import licence_notes
from .quantised import Quantised

_METRICS = {
    "dice": ("Dice", "", 3),
    "iou": ("IoU", "", 3),
    "hd95": ("HD95", " [mm]", 2),
    "nsd": ("NSD", "", 3),
}
HOW = {
    "onnx": f"{from_wheel('runtime')}  # NumPy, nibabel, ONNX Runtime, OpenVINO; no torch",
    "openvino": f"{from_wheel('runtime')}  # NumPy, nibabel, ONNX Runtime, OpenVINO; no torch",
    "torch": from_wheel("train"),
}


def model_card(run: Run, about: Description, plan: Plan) -> str:
    """The card of an artefact whose description is complete."""
    parts = [
        f"# {plain(titled_as(about.made))}",
        f"Segments {structures(plan)} in {scans_of(plan)}. Made with distilseg, exported for {about.target}.",
        section("Use", [f"```\n{HOW[about.engine]}\ndistilseg predict THIS_FOLDER SCANS PREDICTIONS\n```"]),
        section("What it takes and gives", _inside(plan)),
        section("Measured", measured(run)),
        section(
            "What it costs", [*costs(about), *([_cost(run.read(run.cost))] if run.cost.is_file() else [])]
        ),
        section("Equal to the run it was exported from", [_parity(about)]),
        *([section("Windows", _windows(about.windows))] if about.windows else []),
        *([section("In int8", quantisation(about.quantisation))] if about.quantisation else []),
        section("Where it comes from", origin(about.made)),
        section("Licences", listed([plain(note) for note in licence_notes(about.made)])),
        section("Limits", LIMITS),
    ]
    return "\n\n".join(parts) + "\n"


LIMITS = [
    "Measured on the test cases of one dataset and nothing else: judge it on scans of your own scanners"
    " before you rely on it (`distilseg evaluate REFERENCES PREDICTIONS`). Not a medical device."
]


def titled_as(made: Mapping[str, Any]) -> str:
    """What a person calls it: network, dataset and recipe. The run's own name stands below."""
    views = made.get("views", ())
    network = Path(str(made["network"]["name"])).name
    several = f" of {len(views)} views" if views else ""
    return f"{network}{several} on {made['dataset']['name']}, by {made['recipe']}"


def structures(plan: Plan) -> str:
    """Their names, in a sentence."""
    named = list(plan.regions) or [name for value, name in sorted(plan.labels.items()) if value]
    names = [plain(name) for name in named]
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def scans_of(plan: Plan) -> str:
    return plain(plan.modalities[0]) if len(plan.modalities) == 1 else f"{len(plan.modalities)} scans a case"


def _inside(plan: Plan) -> list[str]:
    spacing = " x ".join(f"{mm:g}" for mm in plan.spacing_mm)
    scaled = ", ".join(f"{plain(name)} by {how.kind}" for name, how in plan.normalisation.items())
    scaled += "".join(
        f", {plain(name)} from {low:g} to {high:g} once more"
        for name, ranges in plan.tissue_windows.items()
        for low, high in ranges
    )
    labels = ", ".join(f"{value} {plain(name)}" for value, name in sorted(plan.labels.items()))
    order = ", ".join(f"{plain(name)} (_{n:04d})" for n, name in enumerate(plan.modalities))
    return listed(
        [
            f"scans in this order: {order}; NIfTI, or NRRD and MetaImage where SimpleITK is installed",
            f"turned to {plan.orientation}, resampled to {spacing} mm ({plan.interpolation}),"
            f" cropped: {plan.crop}, scaled: {scaled}",
            f"label maps in the scan's own space, values: {labels}",
        ]
    )


def measured(run: Run) -> list[str]:
    rows = run.scored()
    if not rows:
        return ["Not judged: no test case was predicted before the export (`distilseg evaluate RUN`)."]
    summary = summarise_rows(rows)
    cells = {(row["label"], row["metric"]): row for row in summary}
    shown = {name: told for name, told in _METRICS.items() if any(row["metric"] == name for row in summary)}
    teacher = _labelled_by(run)
    table = [["structure", *(plain(titled(title, teacher)) + unit for title, unit, _ in shown.values())]]
    for label in dict.fromkeys(row["label"] for row in summary):
        scores = [_score(cells.get((label, name)), decimals) for name, (_, _, decimals) in shown.items()]
        table.append([plain(label), *scores])
    cases = len({row["case"] for row in rows})
    told = f"On {cases} test cases of the run; mean ± standard deviation over cases."
    return [told, _table(table), *([plain(limits(teacher))] if teacher else [])]


def _labelled_by(run: Run) -> str:
    """The teacher whose answers stood for labels when the run was judged; "": labels did."""
    judged = run.folder / "evaluation.json"
    return str(run.read(judged).get("labelled_by", "")) if judged.is_file() else ""


def _score(row: Mapping[str, Any] | None, decimals: int) -> str:
    if row is None or not row["n"]:
        return "undefined"
    spread = "" if math.isnan(row["std"]) else f" ± {row['std']:.{decimals}f}"
    left_out = f" ({row['n_excluded']} undefined)" if row["n_excluded"] else ""
    return f"{row['mean']:.{decimals}f}{spread}{left_out}"


def costs(about: Description, other: str = "the run, in torch") -> list[str]:
    """What the artefact costs, beside what it was exported from."""
    cost = about.cost
    table = [
        ["", other, f"this artefact, {about.target}"],
        ["network [MB]", *(f"{cost[of] / 1e6:.2f}" for of in ("run_bytes", "artefact_bytes"))],
        ["a case [s]", *(f"{cost[of]:.3f}" for of in ("run_s", "artefact_s"))],
    ]
    how = (
        f"A case: from the scan in memory to its label map, median of {cost['cases']} while it was exported,"
        f" the two in turns on {cost['threads']} {'thread' if cost['threads'] == 1 else 'threads'} each"
        f" ({plain(cost['processor'])})."
    )
    if (cost["waited"] or 0) > BUSY:
        how += (
            f" The machine was busy meanwhile: {cost['waited']:.0%} of the time was spent waiting for a"
            " processor. Take their ratio, not the seconds."
        )
    return [_table(table), how]


def _cost(cost: Mapping[str, Any]) -> str:
    memory = cost.get("peak_memory_bytes")
    return (
        f"The run, measured alone: {cost['parameters']:,} parameters,"
        f" {cost['multiply_accumulates'] / 1e9:.2f} GMAC a patch"
        f" of {'x'.join(map(str, cost['counted_on'][2:]))}"
        + (f", peak memory {memory / 1e9:.2f} GB." if memory else ".")
    )


def _parity(about: Description) -> str:
    parity = about.parity
    on = "In float, before it was rounded, on" if about.quantisation.get("kept") == "int8" else "On"
    shown = " Both were shown windows fitted to the scans." if about.windows.get("kept") == "fitted" else ""
    return (
        f"{on} {parity['cases']} real cases, from the files on: no logit differs by more than"
        f" {parity['largest_logit_difference']:.2g}, the least Dice between the two label maps is"
        f" {parity['least_dice']:.4f}, {parity['voxels_that_differ']} of {parity['of_voxels']:,} voxels have"
        f" another label (tolerance {parity['tolerance']:g}).{shown}"
    )


def _windows(record: Mapping[str, Any]) -> list[str]:
    found = Fitted(**record)
    told = listed([plain(sentence) for sentence in found.sentences()])
    if not found.cases:
        return told
    training, fitted = found.dice_training or {}, found.dice_fitted or {}
    judged = titled("Dice", found.labelled_by)
    table = [["structure", f"{judged}, windows of training", f"{judged}, fitted windows"]]
    table += [[plain(name), f"{score:.4f}", f"{fitted[name]:.4f}"] for name, score in training.items()]
    return [_table(table), *told]


def quantisation(record: Mapping[str, Any]) -> list[str]:
    """What became of int8."""
    found = Quantised(**record)
    table = [["structure", f"{found.judged} in float", f"{found.judged} in int8"]]
    table += [
        [plain(name), f"{score:.4f}", f"{found.dice_int8[name]:.4f}"]
        for name, score in found.dice_float.items()
    ]
    calibrated = f"calibrated on {found.calibration_windows} windows of {found.calibration_cases} other cases"
    left = [f"in float: {plain(', '.join(found.layers_in_float))}"] if found.layers_in_float else []
    return [_table(table), *listed([*map(plain, found.sentences()), calibrated, *left])]


def origin(made: Mapping[str, Any]) -> list[str]:
    data = made["dataset"]
    views = made.get("views", [made])
    networks = [view["network"] for view in views]
    weights = [(view["run"], view["weights"]) for view in views]
    answers = [
        f"teacher {plain(t['role'])}: the answers of {code(t['name'])}"
        f" ({plain(', '.join(filter(None, [t['kind'], t['network'], t['dataset']['name']])))}), digest"
        f" {plain(t['digest'])}"
        for t in made.get("teachers_of_others", ())
    ]
    taught = [
        f"teacher {plain(t['role'])}: run {code(t['run'])}, on {plain(t['dataset']['name'])}"
        for t in made["teachers"]
    ]
    lines = [
        f"recipe {code(made['recipe'])} on {plain(data['name'])}, run {code(made['run'])}, seed"
        f" {plain(made['seed'])}",
        *(
            f"network {code(n['name'])} with {code(n['options']) if n['options'] else 'its defaults'}"
            for n in networks
        ),
        *taught,
        *answers,
        *([f"training went on from the run {code(made['continues'])}"] if made["continues"] else []),
        *(f"weights {code(of['of'])} of {code(run)}, SHA-256 {of['sha256']}" for run, of in weights),
        f"exported with {', '.join(f'{name} {version}' for name, version in made['exported_with'].items())}",
    ]
    return listed(lines)


def section(title: str, parts: Sequence[str]) -> str:
    """A heading and what stands below it."""
    return "\n\n".join([f"## {title}", *parts])


def listed(lines: Sequence[str]) -> list[str]:
    return ["\n".join(f"- {line}" for line in lines)]


def _table(rows: Sequence[Sequence[str]]) -> str:
    head, *body = ([" | ".join(row)] for row in rows)
    rule = " | ".join(["---", *["---:"] * (len(rows[0]) - 1)])
    return "\n".join(f"| {line} |" for (line,) in [head, [rule], *body])


def write_card(path: Path, run: Run, about: Description, plan: Plan) -> None:
    """Writes the card to `path`."""
    path.write_text(model_card(run, about, plan), encoding="utf-8")
