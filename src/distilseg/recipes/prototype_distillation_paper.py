"""Unpaired prototype distillation for slices of the abdomen, as published: UNesT on volumes, three students.

The volumes are BTCV's, or any others with the students' organs; the paper's own slices are not public.
No code of the framework was published either: UNesT has its authors' settings, Swin-Unet and MISSFormer have
theirs, the paper says 100 epochs with β = 0.5. Days on a GPU; `--epochs` and `--steps` shorten it.

Decided here, as the texts are silent: DeepLabV3 learns as the other students do, at 0.01. A slice is 384 mm
wide, which fills the network's input (the codes resize any slice to it). The rate of the second part is a
tenth. Window -175 to 250 HU for all. The teacher's windows overlap by 0.2, as in its authors' validation
(0.7 in their test). The students' turns, flips and rotations are drawn independently, equally often as in
the code, where one excludes the other, and interpolated linearly (there: cubically). The teacher's two crops
of a step may be of different cases, and the background is not cropped away before. Body-part regression is
not here: give its scores, or the organs' extent decides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Literal

from ..data.planning.normalisation import Normalisation
from ..data.planning.views import view_axis
from ..data.prototypes import by_scores
from ..errors import UserError, unknown
from ..training.budget import Budget
from ..training.experiment import Experiment, Optimisation, Sampling, Study, Validation
from .prototype_distillation import TITLE as TITLE
from .prototype_distillation import going_on, prototype_distillation, prototype_distillation_student
from .prototype_source import SOURCE, Options, prototype_method, prototypes_from
from .published import of_labels, planned, resampled
from .supervised import supervised
from .variant import Given, inherits

WINDOW = Normalisation(kind="range", low=-175, high=250)
WIDTH_MM = 384.0  # of a slice
SECOND_EPOCHS = 100
Student = Literal["deeplab_v3", "swin_unet", "missformer"]
# Pixels of a slice, learning rate, epochs.
STUDENTS: Mapping[str, tuple[int, float, int]] = {
    "deeplab_v3": (256, 0.01, 150),
    "swin_unet": (224, 0.05, 150),
    "missformer": (224, 0.05, 400),
}


@inherits(prototypes_from, *SOURCE)
@inherits(prototype_distillation, "beta", "reduce", "scores", "score_range")
def prototype_distillation_abdomen(
    study: Study,
    given: Given,
    where: Given,
    *,
    network: Student = "deeplab_v3",
    network_options: Options = None,
    teacher_network: str = "unest",
    teacher_network_options: Options = None,
    size: int = 0,
    patch_3d: Sequence[int] = (96, 96, 96),
) -> Experiment:
    """CT of the abdomen as published: a UNesT of volumes, students of slices for 150 and 100 epochs.

    Volumes' classes that the slices do not have count as background, unless a class map says otherwise.

    data_3d: labelled volumes of other patients, such as BTCV, whose teacher is trained first.
    plan_3d: of `distilseg plan` for the volumes; patch, spacing and window stay the published ones.
    network: of the student.
    teacher_network: the paper's is unest.
    score_range: lowest, highest, such as the lumbar region's.
    size: pixels of a slice a side; 0 is 256 for deeplab_v3, 224 for the others.
    patch_3d: voxels of a crop of the volumes, multiples of 32.
    """
    beta, score_range = given["beta"], list(given["score_range"])
    class_map = dict(where["class_map"]) if where["class_map"] else None
    options = {
        **where,
        **given,
        "network": network,
        "network_options": dict(network_options or {}),
        "teacher_network": teacher_network,
        "teacher_network_options": dict(teacher_network_options or {}),
        "class_map": class_map,
        "score_range": score_range,
        "size": size,
        "patch_3d": list(patch_3d),
    }
    if network not in STUDENTS:
        raise unknown("student", network, STUDENTS)
    usual, rate, epochs = STUDENTS[network]
    alone = prototype_distillation_student(
        _of_slices(study, size or usual), network=network, network_options=network_options
    )
    alone = replace(
        alone,
        sampling=Sampling(24, patches_per_case=1, foreground_fraction=0.0, augmentation="abdomen"),
        optimisation=Optimisation("momentum", rate, weight_decay=1e-4, schedule="polynomial", clip=None),
        validation=Validation(each_epoch=True),
        budget=Budget(epochs=epochs),
    )
    classes = alone.study.plan.classes
    source = prototypes_from(
        alone.study,
        **where,
        teach=partial(
            _teacher,
            classes=() if class_map else classes,
            patch=tuple(int(n) for n in patch_3d),
            network=teacher_network,
            network_options=teacher_network_options,
        ),
        fit={
            "feature": "logits",
            "reduce": given["reduce"],
            "across": "axial",
            **by_scores(given["scores"], score_range),
        },
    )
    control = going_on(alone, SECOND_EPOCHS / epochs, 0.1)
    return replace(
        control,
        recipe="prototype_distillation_abdomen",
        options=options,
        method=prototype_method(classes, class_map=class_map, weights={"inter": beta, "intra": beta}),
        prototypes=source,
        control=control,
    )


def _of_slices(study: Study, size: int) -> Study:
    """Axial slices, each one sample of `size` pixels a side."""
    if size < 32 or size % 32:
        raise UserError(f"a slice of {size} pixels", "give a multiple of 32, such as 256")
    plan = study.plan
    across = plan.slice_axis if plan.slice_axis is not None else view_axis(plan.orientation, "axial")
    patch = tuple(1 if axis == across else size for axis in range(3))
    spacing_mm = tuple(own if axis == across else WIDTH_MM / size for axis, own in enumerate(plan.spacing_mm))
    return planned(study, WINDOW, patch, **resampled(patch, spacing_mm), batch_size=24)


def _teacher(
    volumes: Study,
    *,
    classes: tuple[str, ...],
    patch: tuple[int, ...],
    network: str,
    network_options: Options,
) -> Experiment:
    """A network of volumes, with UNesT's settings, for the classes that it shares with the students."""
    if classes and set(classes) < set(volumes.plan.classes):
        volumes = of_labels(volumes, classes)
    volumes = planned(volumes, WINDOW, patch, **resampled(patch, (1.5, 1.5, 2.0)), batch_size=2)
    return replace(
        supervised(volumes, network=network, network_options=network_options),
        sampling=Sampling(2, patches_per_case=2, foreground_fraction=0.5, augmentation="dsd_mmwhs"),
        optimisation=Optimisation("adamw", 1e-4, weight_decay=1e-5, schedule="cosine", clip=None),
        validation=Validation(validations=125),  # every 400 steps
        budget=Budget(steps=50_000),
        inferer={"kind": "sliding_window", "patch": list(patch), "overlap": 0.2, "blend": "gaussian"},
    )
