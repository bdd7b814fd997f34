"""Evidence for KD-Net on the sarcoma set: three folds, students that see CT or MR only, every ablation.

    python scripts/evidence_kd_net.py train --data D      # about two hours of three cores; resumes
    python scripts/evidence_kd_net.py collect             # runs -> results/sarcoma-kd-net
    python scripts/evidence_kd_net_page.py                # results -> docs/evidence, README

The teacher of a fold sees CT, PET and MR and is shared by both students. `--steps` and `--filters` lengthen
and widen everything, where there is a GPU.
"""

from __future__ import annotations

import json
from typing import Any

from evidence_arguments import carry_out, training
from evidence_jobs import ROOT, Job, collect, run_one

RESULTS = ROOT / "results" / "sarcoma-kd-net"
FOLDS = 3
STUDENTS = ("CT", "MR_T1")
DISTILLED = ("kd_net", "kd_net_gt_kd", "kd_net_gt_kl")


def jobs(steps: int, filters: list[int]) -> list[Job]:
    """Teachers first, as the distilled students need them, then controls, then fold by fold."""
    network = {"network_options": {"filters": filters}}

    def job(recipe: str, fold: int, student: str | None = None, **options: Any) -> Job:
        sees = {} if student is None else {"student_sees": [student]}
        return Job(recipe, {**network, **sees, **options}, {"steps": steps, "folds": FOLDS, "fold": fold})

    folds = range(FOLDS)
    return [
        *(job("kd_net_teacher", fold) for fold in folds),
        *(job("kd_net_control", fold, student) for fold in folds for student in STUDENTS),
        *(job(recipe, fold, student) for fold in folds for student in STUDENTS for recipe in DISTILLED),
        # Is the weight of the bottleneck at fault where the full method did not help?
        *(job("kd_net", fold, "CT", alpha=1.0) for fold in folds),
    ]


def draw_slices(runs: str) -> None:
    """For each student: slices with reference, control and full method, from the first fold's runs."""
    from distilseg.report import compare_runs
    from distilseg.report.overlays import overlays
    from distilseg.report.pictures import standalone
    from distilseg.runs import find_runs

    found = find_runs(runs)
    for student in STUDENTS:
        shown = [run for run in found if _is(run.read(run.experiment), student) and run.overlays.is_file()]
        comparison = compare_runs(sorted(shown, key=lambda run: run.name, reverse=True))
        path = ROOT / "docs" / "evidence" / f"sarcoma-kd-net-slices-{student.lower()}.svg"
        path.write_text(standalone(overlays(comparison)), encoding="utf-8")


def _is(about: dict[str, Any], student: str) -> bool:
    """Control or full method of that student."""
    recipes, options = ("kd_net_control", "kd_net"), about["options"]
    return (
        about["recipe"] in recipes and options["student_sees"] == [student] and "alpha" not in about["asked"]
    )


def main() -> None:
    parser = training(__doc__, "runs/evidence-kd-net", "Dataset090_SoftTissueSarcoma")
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--filters", type=json.loads, default=[8, 16, 32, 64, 128])
    given = parser.parse_args()
    script = [__file__, "--steps", str(given.steps), "--filters", json.dumps(given.filters)]

    def gather() -> None:
        collect(given.runs, RESULTS)
        draw_slices(given.runs)

    carry_out(given, script, jobs(given.steps, given.filters), run_one, gather)


if __name__ == "__main__":
    main()
