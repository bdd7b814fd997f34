"""Where the prototypes of a recipe come from, and the objective that they make; refused before any training.

What would be found only when a student needs its prototypes is looked at here, hours earlier: classes,
features, options of the fit, patients that are in both datasets.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..data.case import Dataset
from ..data.planning.plan import load_plan
from ..data.planning.splits import Split, load_split
from ..data.preparing.single_slices import recorded_dataset
from ..data.prototypes import Matched, PrototypeFile, load_prototypes, match_classes, pair_classes
from ..errors import UserError, unknown
from ..runs import open_run
from ..training.experiment import Experiment, FeatureShapes, Finished, Prototypes, Study
from ..training.studies import make_study

if TYPE_CHECKING:
    from ..distillation.method import Method

Options = Mapping[str, Any] | None
# Options of `prototypes_from` that a recipe has.
VOLUMES = ("data_3d", "plan_3d", "split_3d", "prototypes")
SOURCE = (*VOLUMES, "layout_3d", "teacher", "teacher_seed", "class_map")
Activation = Literal["none", "softmax_after_mean", "softmax_before_mean"]


def prototypes_from(
    own: Study,
    *,
    teach: Callable[[Study], Experiment],
    fit: Mapping[str, Any],
    data_3d: str | None = None,
    layout_3d: str | None = None,
    plan_3d: str | None = None,
    split_3d: str | None = None,
    teacher: str | None = None,
    prototypes: str | None = None,
    teacher_seed: int = 0,
    class_map: Mapping[str, str] | None = None,
    activation: Activation = "none",
    feature: str = "logits",
) -> Prototypes | Path:
    """Where the prototypes for the study `own` come from; `teach` makes a teacher's experiment of volumes.

    Raises UserError unless one place is named, for patients of both datasets, and for classes, features and
    options of the fit that will not do: now, and not after long trainings.

    data_3d: labelled volumes of other patients than the slices', whose teacher is trained first.
    layout_3d: of that folder, where it does not show.
    plan_3d: of `distilseg plan` for the volumes.
    split_3d: JSON lists train, validation, test of the volumes.
    teacher: a finished run of volumes, in place of --data-3d.
    prototypes: a file of `distilseg prototypes`, in place of both.
    teacher_seed: of the teacher, which students of every seed share.
    class_map: a class of the student=a class of the teacher; the others take no part.
    """
    named = [name for name, value in _places(data_3d, teacher, prototypes).items() if value is not None]
    if len(named) != 1:
        raise UserError(
            f"prototypes are asked of {' and of '.join(named) or 'nobody'}",
            "give --data-3d with labelled volumes, or --prototypes with their file; prototype_distillation"
            " also takes --teacher with a finished run of volumes",
        )
    classes = own.plan.classes
    if prototypes is not None:
        _matched(load_prototypes(Path(prototypes)), classes, class_map, activation, feature)
        return Path(prototypes)
    from ..training.prototypes import check_fit

    if (fit["feature"] == "logits") != (feature == "logits"):
        raise _not_alike(fit["feature"], feature)
    if teacher is not None:
        run = open_run(teacher)
        plan = load_plan(run.plan)
        told = run.read(run.experiment)["dataset"]
        if Path(told["folder"]).resolve() == own.dataset.folder.resolve():
            dataset = recorded_dataset(told)
            _check_unpaired(own, dataset, load_split(run.split, dataset.cases))
        source = Prototypes(Finished(run.folder), fit)
    else:
        assert data_3d is not None
        volumes = make_study(
            data_3d,
            layout=layout_3d,
            plan=Path(plan_3d) if plan_3d else None,
            split=Path(split_3d) if split_3d else None,
            seed=teacher_seed,
        )
        if volumes.dataset.folder.resolve() == own.dataset.folder.resolve():
            _check_unpaired(own, volumes.dataset, volumes.split)
        taught = teach(volumes)
        plan = taught.study.plan
        check_feature(taught, fit["feature"], "teacher")
        source = Prototypes(taught, fit)
    pair_classes(plan.classes, classes, class_map)
    check_fit(plan, **fit)
    return source


def prototype_method(
    classes: tuple[str, ...],
    *,
    class_map: Mapping[str, str] | None = None,
    activation: Activation = "none",
    feature: str = "logits",
    **options: Any,
) -> Callable[[Mapping[str, FeatureShapes], PrototypeFile], Method]:
    """Shapes and the file -> the objective of `distillation.prototypes` with these options.

    Refuses a file of other classes, or of other numbers than the student's.
    """

    def method(shapes: Mapping[str, FeatureShapes], file: PrototypeFile) -> Method:
        import torch

        from ..distillation.prototypes import Prototypes as Objective

        matched = _matched(file, classes, class_map, activation, feature)
        return Objective(
            torch.from_numpy(matched.values_KC).float(),
            torch.from_numpy(matched.valid_K),
            classes=matched.classes,
            channels=matched.channels,
            activation=activation,
            feature=feature,
            student_channels=None if feature == "logits" else shapes["student"][feature][1],
            **options,
        )

    return method


def _places(data_3d: str | None, teacher: str | None, prototypes: str | None) -> dict[str, str | None]:
    return {"--data-3d": data_3d, "--teacher": teacher, "--prototypes": prototypes}


def _check_unpaired(own: Study, volumes: Dataset, split: Split) -> None:
    """The student's patients must not be the teacher's, where both datasets are one folder."""
    sides = [
        {dataset.case(id).group for id in (*parts.train, *parts.validation, *parts.test, *more)}
        for dataset, parts, more in ((own.dataset, own.split, own.unlabelled), (volumes, split, ()))
    ]
    if shared := sorted(sides[0] & sides[1]):
        raise UserError(
            f"{len(shared)} patients of {own.dataset.folder} are in the slices and in the volumes, such as"
            f" {shared[0]}",
            "name other patients by --split for the slices and --split-3d for the volumes",
        )


def _matched(
    file: PrototypeFile,
    classes: tuple[str, ...],
    class_map: Mapping[str, str] | None,
    activation: Activation,
    feature: str,
) -> Matched:
    """The file's prototypes for these classes; UserError where its numbers are of another kind."""
    if file.softmax != (activation == "softmax_before_mean"):
        raise UserError(
            f"the prototypes are means of {'a softmax' if file.softmax else 'logits'}, the student's would be"
            f" of {'logits' if file.softmax else 'a softmax'}",
            f"take --activation {'softmax_before_mean' if file.softmax else 'none'}, or fit them anew",
        )
    if (file.feature == "logits") != (feature == "logits"):
        raise _not_alike(file.feature, feature)
    return match_classes(file, classes, class_map)


def _not_alike(theirs: str, own: str) -> UserError:
    return UserError(
        f"the prototypes are of the teacher's {theirs}, the student's would be of its {own}",
        "take the logits of both (--feature logits), or a feature of both",
    )


def check_feature(experiment: Experiment, feature: str, whose: str) -> None:
    """The network that will be trained has such a feature."""
    if feature == "logits":
        return
    from ..networks.build import build
    from ..networks.features import feature_modules

    offered = feature_modules(build(experiment.networks["student"]))
    if feature not in offered:
        raise unknown(f"feature of the {whose}", feature, ["logits", *offered])
