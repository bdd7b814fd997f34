"""Distillation from a model that others trained: its answers, on scans with labels and without.

The teacher is recorded once per case; the student may have another architecture, spacing, patch and class
list. The control is the same student on the labels alone, where there are some. Ablations are the recipe with
one thing changed: hard answers, answers alone, labelled scans alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from ..errors import UserError, unknown
from ..training.experiment import Experiment, FeatureShapes, MakeMethod, Study
from ..training.foreign import Foreign
from .crossings import crossed, self_distilled
from .modalities import named_modalities, seeing
from .others import opening
from .supervised import supervised
from .variant import Given, inherits, renamed, variant

if TYPE_CHECKING:
    from ..distillation.method import Method

TITLE = "A model that others trained"
WHEN = "Pays when labels are few and a good model is at hand: here +0.039 Dice with 5, nothing shown with 40."

Options = Mapping[str, Any] | None


@inherits(opening, own_first=True)
def distil(
    study: Study,
    given: Given,
    *,
    teacher: Sequence[str] = (),
    network: str = "student_small",
    network_options: Options = None,
    student_sees: Sequence[str] = (),
    answers: Literal["soft", "hard"] = "soft",
    temperature: float = 1.0,
    confidence: float = 0.0,
    answer_weight: float = 1.0,
    labels: bool = True,
    unlabelled_scans: bool = True,
    teacher_saw: str | None = None,
) -> Experiment:
    """A model that others trained teaches a small student, on scans with labels and without.

    teacher: nnU-Net, TotalSegmentator, MONAI bundle, ONNX, a run or artefact of ours, or a folder of answers;
    several by comma.
    network: of the student and its control.
    student_sees: the modalities of the student, such as CT; default: all.
    answers: soft probabilities, or hard labels made of them.
    temperature: softens the answers of teacher and student.
    confidence: hard answers below it are left out.
    answer_weight: of the answers beside the labels.
    labels: learn from the labels too, where there are some.
    unlabelled_scans: learn from the scans without labels too.
    teacher_saw: a file of the cases that it was trained on, one a line, or nnU-Net's splits_final.json.
    """
    # What a teacher saw changes what reports say of a run, and nothing of the run.
    options = {n: value for n, value in locals().items() if n not in ("study", "given", "teacher_saw")}
    _check(answers, temperature, confidence, answer_weight)
    sees = named_modalities(student_sees, study)
    plain = supervised(study, network=network, network_options=network_options)
    control = seeing(plain, sees) if sees else plain
    taught_by = replace(opening(**given), saw=teacher_saw).opened(teacher, study)
    learning = study if unlabelled_scans else replace(study, unlabelled=())
    if not labels:
        learning = replace(
            learning,
            split=replace(study.split, train=()),
            unlabelled=(*study.split.train, *learning.unlabelled),
        )
    if not learning.split.train and not learning.unlabelled:
        raise UserError("there is no scan to learn from", "name some with --unlabelled")
    soft = {"soft_labels": answer_weight, "overlap": answer_weight, "hard_labels": 0.0}
    hard = {"soft_labels": 0.0, "overlap": 0.0, "hard_labels": answer_weight}
    made = replace(
        plain,
        recipe="distil",
        study=learning,
        options={
            **given,
            **options,
            "teacher": [one.teacher.name for one in taught_by.values()],
            "network_options": dict(network_options or {}),
            "student_sees": list(sees),
        },
        teachers=taught_by,
        teacher_outputs="recorded",
        method=_objective(
            taught_by,
            weights=soft if answers == "soft" else hard,
            temperature=temperature,
            confidence=confidence,
        ),
        control=control if study.split.train else None,
    )
    return seeing(made, sees) if sees else made


distil_hard = variant(distil, "Ablation: the teacher's likeliest classes as labels.", answers="hard")
distil_answers = variant(distil, "Ablation: the answers alone, on all scans; no label is read.", labels=False)
distil_labelled = variant(
    distil, "Ablation: labels and answers on the labelled scans alone.", unlabelled_scans=False
)


@inherits(distil)
def distil_dsd(study: Study, given: Given, *, alpha: float = 1.0, beta: float = 1.0) -> Experiment:
    """Distillation from answers, and dual self-distillation inside the student, on every scan.

    alpha: weight of the encoder's self-distillation.
    beta: weight of the decoder's self-distillation.
    """

    dsd = self_distilled(alpha, beta, study)
    made = crossed(distil(study, **given), {"alpha": alpha, "beta": beta}, dsd=dsd)
    return renamed(made, "distil_dsd")


def _check(answers: str, temperature: float, confidence: float, answer_weight: float) -> None:
    """Refuses, before anything is trained, what makes no sense, and what would do nothing."""
    from ..distillation.distil import check_numbers

    if answers not in ("soft", "hard"):
        raise unknown("kind of answers", answers, ("soft", "hard"))
    if not 0 < answer_weight < math.inf:
        raise UserError(f"the weight of the answers is {answer_weight}", "give a number above 0")
    check_numbers(temperature, confidence)
    if confidence and answers == "soft":
        raise UserError(
            f"--confidence {confidence:g} leaves out hard answers, and these are soft",
            "add --answers hard, or leave it out",
        )


def _objective(taught_by: Mapping[str, Foreign], **options: Any) -> MakeMethod:
    def method(shapes: Mapping[str, FeatureShapes]) -> Method:
        from ..distillation.distil import Answers, Distil
        from ..teachers.answers import kept_as

        answers = {role: Answers(one.classes.groups, kept_as(one.classes)) for role, one in taught_by.items()}
        return Distil(answers, **options)

    return method
