"""Thickened 2D networks on the data they were published on: MSD Task08, hepatic vessels.

`thickened_msd_hepatic_vessel` is the paper's own setting, three networks that each see whole slices of one
view; `thickened_3d_msd_hepatic_vessel` its "3D setting", in which 3D networks, and a thickened one, see
patches. Vessels are label 1; tumours count as background. Days on a GPU; `--steps` shortens them.

What the paper does not say is decided here. The window is -100 to 240 HU; scans are resampled to the
dataset's median spacing (the paper keeps their own); two classes by softmax (the paper: one by sigmoid);
nothing is augmented or clipped. Slabs are centred on a slice with a vessel in the first setting; in the
second, half of the patches are on a vessel. Validation picks the weights. In the paper a coronal or sagittal
slice is padded to 512 as well; here to 128 along the body.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..data.planning.normalisation import Normalisation
from ..data.planning.views import view_axis
from ..data.sampling.slices import slabbed
from ..errors import UserError
from ..training.budget import Budget
from ..training.experiment import Experiment, FeatureShapes, Optimisation, Sampling, Study
from .published import as_published, of_labels, planned
from .supervised import supervised
from .thickened import TITLE as TITLE
from .thickened import Options, thickened
from .variant import Given, inherits, renamed

if TYPE_CHECKING:
    from ..distillation.method import Method

WINDOW = Normalisation(kind="range", low=-100, high=240)
STRIDE = (32, 32, 16)  # voxels, of patches of the 3D setting


@inherits(
    thickened,
    *("head", "multiplexing", "network_options", "stride", "fuse"),
    view="all",
    thickness=15,
    backbone="resnet50",
)
def thickened_msd_hepatic_vessel(
    study: Study, given: Given, *, imagenet: str = "", patch: Sequence[int] = (512, 512, 128)
) -> Experiment:
    """MSD hepatic vessels as published: slabs of whole slices, Dice alone, 100 000 steps of 8, three views.

    view: across which axis slabs are cut; all trains the three views and fuses them.
    thickness: slices in a slab, a multiple of 3; the paper's choice is 15, its ablations have 12.
    backbone: resnet50 is the paper's, light is for CPUs.
    imagenet: a file with the weights of torchvision's resnet50; the paper begins with them.
    patch: voxels of a slice along each axis; smaller ones are padded with zeros, larger ones cropped.
    """
    begun = {"imagenet": imagenet} if imagenet else {}
    options = {**given, "network_options": {**begun, **(given["network_options"] or {})}}
    made = thickened(planned(_of_vessels(study), WINDOW, _three(patch)), cross_entropy=0.0, **options)
    settings = {
        "sampling": Sampling(8, patches_per_case=1, foreground_fraction=1.0, pad="zero", augmentation="none"),
        "optimisation": Optimisation("momentum", 0.005, weight_decay=5e-4, schedule="steps", clip=None),
        "budget": Budget(steps=100_000),
    }
    return renamed(_zero_padded(as_published(made, settings)), "thickened_msd_hepatic_vessel")


@inherits(thickened, thickness=15, backbone="resnet50")
def thickened_3d_msd_hepatic_vessel(
    study: Study,
    of_thickened: Given,
    *,
    network: str = "thickened",
    network_options: Options = None,
    patch: Sequence[int] = (128, 128, 64),
) -> Experiment:
    """MSD hepatic vessels in the paper's 3D setting: patches, 40 000 steps, windows 32x32x16 voxels apart.

    Where windows overlap their probabilities are averaged. A thickened network sees axial slabs of a patch,
    drawn anywhere, and slides by one slice when it predicts: every slab that lies in any patch, each once.

    network: thickened, or a baseline: basic_unet (a 3D U-Net), vnet, ahnet, or any other.
    thickness: slices of a slab, where the network is thickened.
    backbone: where the network is thickened.
    network_options: further options of the network.
    patch: voxels of a patch.
    """
    study = planned(_of_vessels(study), WINDOW, _three(patch))
    steps = [
        max(1, size * step // whole) for size, step, whole in zip(patch, STRIDE, (128, 128, 64), strict=True)
    ]
    options = dict(network_options or {})
    if network == "thickened":
        thickness = of_thickened["thickness"]
        if thickness < 3 or thickness % 3:
            raise UserError(f"slabs of {thickness} slices", "give a multiple of 3, the size of a group")
        axis = view_axis(study.plan.orientation, "axial")
        study = replace(study, plan=slabbed(study.plan, axis, thickness, options.get("output_stride", 16)))
        options = {"axis": axis, "backbone": of_thickened["backbone"], **options}
        steps[axis] = 1
    base = supervised(study, network=network, network_options=options)
    return replace(
        base,
        recipe="thickened_3d_msd_hepatic_vessel",
        method=_dice_alone,
        sampling=Sampling(2, patches_per_case=1, foreground_fraction=0.5, augmentation="none"),
        optimisation=Optimisation("momentum", 0.01, weight_decay=5e-4, schedule="polynomial", clip=None),
        budget=Budget(steps=40_000),
        inferer={
            "kind": "sliding_window",
            "patch": list(study.plan.patch),
            "stride": steps,
            "blend": "constant",
            "average": "probabilities",
        },
    )


def _dice_alone(shapes: Mapping[str, FeatureShapes]) -> Method:
    from ..distillation.thickened import OverlapSupervised

    return OverlapSupervised()


def _of_vessels(study: Study) -> Study:
    """The study with vessels against all else."""
    dataset = study.dataset
    found = [value for value, name in dataset.labels.items() if "vessel" in name.lower()]
    if len(found) != 1:
        raise UserError(
            f"{dataset.name}: of its labels {', '.join(dataset.labels.values())} not one but {len(found)}"
            " name vessels",
            "this recipe is for MSD's Task08_HepaticVessel; for other data: the recipe thickened",
        )
    return of_labels(study, {dataset.labels[found[0]]})


def _three(patch: Sequence[int]) -> tuple[int, ...]:
    if len(patch) != 3 or min(patch) < 1:
        raise UserError(f"a patch of {list(patch)} voxels", "give three sizes, such as 512,512,128")
    return tuple(int(size) for size in patch)


def _zero_padded(experiment: Experiment) -> Experiment:
    """The experiment, its control and its other views, slices padded with zeros when predicting, too."""
    inferer: dict[str, Any] = dict(experiment.inferer)
    if inferer["kind"] == "slabs":
        inferer["pad"] = "zeros"
    control = experiment.control and _zero_padded(experiment.control)
    views = tuple(map(_zero_padded, experiment.views))
    return replace(experiment, inferer=inferer, control=control, views=views)
