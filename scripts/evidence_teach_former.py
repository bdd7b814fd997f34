"""Evidence for Teach-Former on the sarcoma set, CT and PET: three folds, three teachers, every subset of them.

    python scripts/evidence_teach_former.py train --data D     # about two hours of four cores; resumes
    python scripts/evidence_teach_former.py collect            # runs -> results/sarcoma-teach-former
    python scripts/evidence_teach_former_page.py               # results -> docs/evidence, README

Teachers of a fold are shared by all its students, and their answers are recorded once. `--steps` lengthens
everything, `--published-sizes` takes the networks as the paper has them, where there is a GPU.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from evidence_arguments import training
from evidence_jobs import ROOT, Job, collect, run_all, run_one

RESULTS = ROOT / "results" / "sarcoma-teach-former"
FOLDS = 3
MODALITIES = ("CT", "PET")
PATCH = (48, 48, 48)
TEACHERS = ("h_denseformer", "swin_unetr", "unetr")
# What a processor trains in two hours. The table's networks are these with 32 filters, windows of 7, 768/3072.
SMALLER = {
    "h_denseformer.filters": 16,
    "swin_unetr.window": 4,
    "unetr.hidden": 384,
    "unetr.mlp": 1536,
    "unetr.heads": 6,
}
DISTILLED = ("teach_former", "teach_former_t1", "teach_former_t12", "teach_former_afs", "teach_former_pwd")
OTHER_SUBSETS = ("teach_former_t2", "teach_former_t3", "teach_former_t13", "teach_former_t23")


def jobs(steps: int, sizes: dict[str, Any], plan: str) -> list[Job]:
    """Teachers first, as the students need them, then controls, then what the paper compares most."""
    folds = range(FOLDS)

    def job(recipe: str, fold: int, **options: Any) -> Job:
        settings = {
            "modalities": MODALITIES,
            "plan": Path(plan),
            "steps": steps,
            "folds": FOLDS,
            "fold": fold,
        }
        return Job(recipe, options, settings)

    def teacher(name: str, fold: int) -> Job:
        own = {key.partition(".")[2]: v for key, v in sizes.items() if key.startswith(f"{name}.")}
        return job("teach_former_control", fold, student=name, student_options=own)

    return [
        *(teacher(name, fold) for fold in folds for name in TEACHERS),
        *(job("teach_former_control", fold) for fold in folds),
        *(job(recipe, fold, teacher_options=sizes) for recipe in DISTILLED for fold in folds),
        *(job(recipe, fold, teacher_options=sizes) for recipe in OTHER_SUBSETS for fold in folds),
    ]


def main() -> None:
    parser = training(__doc__, "runs/evidence-teach-former", "Dataset090_SoftTissueSarcoma")
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--published-sizes", action="store_true")
    given = parser.parse_args()
    plan = f"{given.runs}/plan.json"
    todo = jobs(given.steps, {} if given.published_sizes else SMALLER, plan)
    if given.what == "train":
        from distilseg.commands import plan as make_plan

        Path(given.runs).mkdir(parents=True, exist_ok=True)
        make_plan(given.data, out=plan, modalities=MODALITIES, patch=PATCH)
        more = ["--steps", str(given.steps), *["--published-sizes"] * given.published_sizes]
        run_all([__file__, *more], todo, given.data, given.runs, given.jobs)
    elif given.what == "one":
        run_one(todo[given.number], given.data, given.runs)
    else:
        collect(given.runs, RESULTS)


if __name__ == "__main__":
    main()
