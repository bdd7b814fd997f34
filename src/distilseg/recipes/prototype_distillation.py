"""From volumes of some people to single slices of others: unpaired prototype distillation, and its ablations.

    1  teacher      a 3D network on the 3D dataset
    2  prototypes   what it answers on average over each class: a small file
    3  student      a 2D network on the slices, alone, until its budget ends
    4  distilled    the student's best weights go on with the prototypes beside the labels
       control      the student's best weights go on as long, with the labels alone

Each is a run of its own and is found again: the students of several seeds and ablations share one teacher.
No patient may be in both datasets. Prototypes that somebody else fitted (`distilseg prototypes`) take the
place of steps 1 and 2. Published: SGD, for 150 epochs and then for 100; the learning rate of the second part
is not said, a tenth here. The paper's own data and schedules are in `prototype_distillation_paper.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Literal

from ..data.prototypes import PrototypeReduce, by_scores
from ..data.sampling.slices import sliced
from ..training.experiment import Continued, Experiment, FeatureShapes, Study
from .prototype_source import (
    SOURCE,
    VOLUMES,
    Activation,
    Options,
    check_feature,
    prototype_method,
    prototypes_from,
)
from .supervised import supervised
from .variant import Given, inherits, variant

if TYPE_CHECKING:
    from ..distillation.method import Method

TITLE = "Unpaired prototype distillation (Yu et al., 2024)"
WHEN = "For a few single slices where others have volumes: on MR +0.015 Dice with 8 people, on CT nothing."

View = Literal["axial", "coronal", "sagittal"]
Segmentation = Literal["squared_dice_ce", "dice_ce"]
BETA = 0.5
SHARE = 0.67  # 100 of 150 epochs


@inherits(prototypes_from, *SOURCE)
def prototype_distillation(
    study: Study,
    where: Given,
    *,
    network: str = "deeplab_v3",
    network_options: Options = None,
    teacher_network: str = "dynunet",
    teacher_network_options: Options = None,
    beta: float = BETA,
    inter_weight: float = 1.0,
    intra_weight: float = 1.0,
    activation: Activation = "none",
    granularity: Literal["rows_and_columns", "flat"] = "rows_and_columns",
    present_only: bool = True,
    include_background: bool = True,
    resize: Literal["features", "label"] = "features",
    feature: str = "logits",
    teacher_feature: str = "logits",
    reduce: PrototypeReduce = "slice_mean",
    view: View = "axial",
    organs: Sequence[str] = (),
    slice_from: float = 0.0,
    slice_to: float = 1.0,
    scores: str | None = None,
    score_range: Sequence[float] = (),
    segmentation: Segmentation = "squared_dice_ce",
    second_share: float = SHARE,
    rate_share: float = 0.1,
) -> Experiment:
    """A 3D teacher's class prototypes guide a student of single slices of other patients.

    network: of the student: deeplab_v3, swin_unet, missformer or any other network of slices.
    teacher_network: the paper's is unest; any network of volumes.
    beta: weight of the distances between prototypes.
    inter_weight: times beta, of the distance class by class.
    intra_weight: times beta, of the distance channel by channel.
    activation: of the features, before or after their mean.
    granularity: of the correlation; flat takes the matrix as one vector.
    present_only: only the classes that a slice holds are compared.
    include_background: it counts as a class.
    resize: what changes where a feature is smaller than the label.
    feature: of the student, such as decoder.0; then a 1x1 convolution is learned beside it.
    teacher_feature: of the teacher.
    reduce: the mean over slices of each one's mean, or over all pixels.
    view: across which axis the volumes are cut.
    organs: whose extent says which slices take part; default: all.
    slice_from: the part of that extent, from 0.
    slice_to: to 1.
    scores: a JSON file of body-part scores, case to a list with one number per slice, in place of the extent.
    score_range: lowest, highest.
    segmentation: the loss of the published students, or the one of the other recipes.
    second_share: budget of the distillation, and of the control, as a share of the student's.
    rate_share: of the student's learning rate in that part.
    """
    class_map = dict(where["class_map"]) if where["class_map"] else None
    options = {name: value for name, value in locals().items() if name not in ("study", "where")}
    alone = prototype_distillation_student(
        study, network=network, network_options=network_options, segmentation=segmentation
    )
    study = alone.study
    check_feature(alone, feature, "student")
    source = prototypes_from(
        study,
        **where,
        teach=partial(supervised, network=teacher_network, network_options=teacher_network_options),
        activation=activation,
        feature=feature,
        fit={
            "feature": teacher_feature,
            "reduce": reduce,
            "softmax": activation == "softmax_before_mean",
            "across": view,
            "organs": list(organs),
            "extent": [slice_from, slice_to],
            **by_scores(scores, score_range),
        },
    )
    method = prototype_method(
        study.plan.classes,
        class_map=class_map,
        activation=activation,
        granularity=granularity,
        present_only=present_only,
        include_background=include_background,
        resize=resize,
        feature=feature,
        segmentation=segmentation,
        weights={"inter": beta * inter_weight, "intra": beta * intra_weight},
    )
    told = {
        "network_options": dict(network_options or {}),
        "teacher_network_options": dict(teacher_network_options or {}),
        "organs": list(organs),
        "score_range": list(score_range),
    }
    control = going_on(alone, second_share, rate_share)
    return replace(
        control,
        recipe="prototype_distillation",
        options={**where, **options, **told},
        method=method,
        prototypes=source,
        control=control,
    )


def prototype_distillation_student(
    study: Study,
    *,
    network: str = "deeplab_v3",
    network_options: Options = None,
    segmentation: Segmentation = "squared_dice_ce",
) -> Experiment:
    """The student before any distillation: slices, labels alone.

    A plan of `distilseg plan --slices` is taken as it is; of any other plan the slices across its coarsest
    axis are taken.

    network: deeplab_v3, swin_unet, missformer or any other network of slices.
    segmentation: the loss of the published students, or the one of the other recipes.
    """
    study = replace(study, plan=sliced(study.plan))
    plain = supervised(study, network=network, network_options=network_options)
    return replace(
        plain,
        recipe="prototype_distillation_student",
        options={**plain.options, "segmentation": segmentation},
        method=_labels_alone(len(study.plan.classes), segmentation),
    )


@inherits(prototype_distillation_student)
def prototype_distillation_control(
    study: Study, given: Given, *, second_share: float = SHARE, rate_share: float = 0.1
) -> Experiment:
    """The undistilled control: the student's best weights go on, with the labels alone.

    second_share: budget of this part, as a share of the student's.
    rate_share: of the student's learning rate in this part.
    """
    return going_on(prototype_distillation_student(study, **given), second_share, rate_share)


_networks = ("network", "network_options", "teacher_network", "teacher_network_options")
_ablation = partial(variant, prototype_distillation, offers=(*VOLUMES, "teacher", *_networks))

prototype_distillation_inter = _ablation("Ablation: class by class alone.", intra_weight=0.0)
prototype_distillation_intra = _ablation("Ablation: channel by channel alone.", inter_weight=0.0)


def going_on(alone: Experiment, second_share: float, rate_share: float) -> Experiment:
    """The student trained on: from its best weights, at a lower rate."""
    settings = alone.optimisation
    return replace(
        alone,
        recipe="prototype_distillation_control",
        options={**alone.options, "second_share": second_share, "rate_share": rate_share},
        budget=alone.budget.part(second_share),
        optimisation=replace(settings, learning_rate=rate_share * settings.learning_rate),
        continues=Continued(alone, second_share, rate_share),
    )


def _labels_alone(classes: int, segmentation: Segmentation) -> Callable[..., Method]:
    def method(shapes: Mapping[str, FeatureShapes]) -> Method:
        import torch

        from ..distillation.prototypes import Prototypes as Objective

        none = torch.zeros(classes, classes), torch.zeros(classes, dtype=torch.bool)
        return Objective(*none, segmentation=segmentation, weights={"inter": 0.0, "intra": 0.0})

    return method
