"""Dual self-distillation equals an independent NumPy transcription, term by term, with every option."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import torch

from distilseg.distillation import DualSelfDistillation, Supervised, default_sides
from distilseg.distillation.dual_self_distillation import FEATURE_L2_WEIGHT
from distilseg.errors import UserError
from distilseg.functional.segmentation import dice_cross_entropy
from distilseg.types import UNKNOWN, Batch, Outputs

Array = np.ndarray
ENCODER = ("encoder.0", "encoder.1", "encoder.2", "encoder.3")
DECODER = ("decoder.1", "decoder.2", "decoder.3", "bottleneck")


def u_shapes(patch: Sequence[int], channels: Sequence[int] = (2, 3, 4, 5, 6)) -> dict[str, tuple[int, ...]]:
    """A five-level U-Net's features for two cases; strides 1 to 16 where the patch allows them."""
    levels = [(2, C, *(max(size >> level, 1) for size in patch)) for level, C in enumerate(channels)]
    names = {f"{side}.{level}": levels[level] for side in ("encoder", "decoder") for level in range(4)}
    return {**names, "bottleneck": levels[4]}


def example(
    shapes: Mapping[str, tuple[int, ...]], patch: Sequence[int], classes: int = 3, seed: int = 0
) -> tuple[Outputs, Batch]:
    rng = np.random.default_rng(seed)

    def draw(*shape: int) -> torch.Tensor:
        return torch.tensor(rng.normal(size=shape)).requires_grad_()

    features = {name: draw(*shape) for name, shape in shapes.items()}
    label = torch.tensor(rng.integers(0, classes, (2, 1, *patch)), dtype=torch.uint8)
    return Outputs(draw(2, classes, *patch), features), Batch(draw(2, 1, *patch), label)


# The transcription: spec sections 1 and 2, in NumPy, on the natural grid, no function of ours.


def np_transposed_convolution(x: Array, weight: Array, bias: Array) -> Array:
    """out[b, o, k·i + a] = Σ_c x[b, c, i] w[c, o, a] + bias[o], for each offset a of the kernel."""
    kernel = weight.shape[2:]
    out = np.zeros((x.shape[0], weight.shape[1], *(s * k for s, k in zip(x.shape[2:], kernel, strict=True))))
    for offset in itertools.product(*map(range, kernel)):
        places = tuple(slice(a, None, k) for a, k in zip(offset, kernel, strict=True))
        out[(slice(None), slice(None), *places)] = np.einsum("bc...,co->bo...", x, weight[(..., *offset)])
    return out + bias.reshape(1, -1, *[1] * len(kernel))


def np_linear(x: Array, size: Sequence[int]) -> Array:
    """Linear interpolation axis by axis, edges of the two grids aligned, clamped at the border."""
    for axis, new in enumerate(size, start=2):
        old = x.shape[axis]
        at = np.clip((np.arange(new) + 0.5) * old / new - 0.5, 0, old - 1)
        low = np.floor(at).astype(int)
        high, part = np.minimum(low + 1, old - 1), at - low
        part = part.reshape([-1 if i == axis else 1 for i in range(x.ndim)])
        x = x.take(low, axis) * (1 - part) + x.take(high, axis) * part
    return x


def np_head(x: Array, values: Mapping[str, Array], patch: Sequence[int], upsample: str) -> Array:
    weight = values["project.weight"].reshape(len(values["project.bias"]), -1)
    z = np.einsum("bc...,kc->bk...", x, weight)
    z = z + values["project.bias"].reshape(1, -1, *[1] * len(patch))
    if upsample == "trilinear":
        return np_linear(z, patch)
    if upsample == "nearest":
        return np.kron(z, np.ones([1, 1, *(S // s for S, s in zip(patch, z.shape[2:], strict=True))]))
    n = int(np.log2(patch[0] // x.shape[2])) if upsample == "shared_x2" else 1
    for _ in range(max(n, 1)):
        z = np_transposed_convolution(z, values["enlarge.weight"], values["enlarge.bias"])
    assert z.shape[2:] == tuple(patch)
    return z


def np_softmax(z: Array) -> Array:
    exp = np.exp(z - z.max(1, keepdims=True))
    return exp / exp.sum(1, keepdims=True)


def np_dce(z: Array, label: Array) -> float:
    P, Y = np_softmax(z), np.concatenate([label == k for k in range(z.shape[1])], 1).astype(float)
    space = tuple(range(2, z.ndim))
    dice = 1 - (2 * (P * Y).sum(space) + 1e-5) / (P.sum(space) + Y.sum(space) + 1e-5)
    return float(dice.mean() - np.log((P * Y).sum(1)).mean())


def np_kl(student: Array, teacher: Array) -> float:
    return float((teacher * (np.log(teacher) - np.log(student))).sum(1).mean())


def np_terms(
    method: DualSelfDistillation, outputs: Outputs, batch: Batch, options: Mapping[str, Any]
) -> dict[str, float]:
    features = {name: value.detach().numpy() for name, value in outputs.features.items()}
    label, patch = batch.label.numpy(), batch.label.shape[2:]
    state = {name: value.detach().numpy() for name, value in method.state_dict().items()}
    encoder, decoder = list(ENCODER), list(DECODER)
    T, upsample = options.get("temperature", 3.0), options.get("head_upsample", "shared_x2")

    def values(folder: str) -> dict[str, Array]:
        return {name.removeprefix(folder): value for name, value in state.items() if name.startswith(folder)}

    z = {}
    for name in encoder + decoder:
        _, C, *space = features[name].shape
        shared = f"heads.{C}_at_{'x'.join(map(str, space))}."
        own = f"heads.{name.replace('.', '_')}."
        head = values(shared if options.get("shared_heads") else own)
        z[name] = np_head(features[name], head, patch, upsample)

    def soft(name: str) -> Array:
        return np_softmax((z[name] if options.get("include_background", True) else z[name][:, 1:]) / T)

    def side(names: list[str], deepest: str, reverse: str) -> float:
        kind = options.get("teacher", "deepest")
        if kind == "mean":
            teacher, students = np.mean([soft(name) for name in names], 0), names
        else:
            chosen = deepest if kind == "deepest" else reverse
            teacher, students = soft(chosen), [name for name in names if name != chosen]
        factor = T**2 if options.get("t2_factor", True) else 1
        return factor * sum(np_kl(soft(name), teacher) for name in students)

    eta = options.get("eta", {})
    terms = {
        "seg": np_dce(outputs.logits.detach().numpy(), label),
        "deep_supervision": sum(
            eta.get(name, 1) * np_dce(z[name], label) for name in options.get("ds_levels", decoder)
        ),
        "encoder": side(encoder, "encoder.3", "encoder.0"),
        "decoder": side(decoder, "decoder.1", "bottleneck"),
    }
    if options.get("weights", {}).get("feature_l2"):

        def pooled(name: str) -> Array:
            _, C, *space = features[name].shape
            head = values(f"projections.{C}_at_{'x'.join(map(str, space))}.")
            full = np.einsum("bc...,kc->bk...", features[name], head["weight"])
            full = full + head["bias"].reshape(1, -1, *[1] * len(space))  # projected first, averaged second
            return full.mean(tuple(range(2, full.ndim)))

        pairs = [("encoder.1", "encoder.3"), ("encoder.2", "encoder.3")]
        pairs += [("decoder.3", "decoder.1"), ("decoder.2", "decoder.1")]
        terms["feature_l2"] = sum(((pooled(s) - pooled(t)) ** 2).mean() for s, t in pairs)
    return terms


OPTIONS: list[dict[str, Any]] = [
    {},
    *({"temperature": T} for T in (1.0, 2.0, 4.0)),
    {"t2_factor": False},
    {"include_background": False},
    {"detach_teacher": True},
    {"shared_heads": True},
    {"head_upsample": "single_deconv"},
    {"head_upsample": "trilinear"},
    {"head_upsample": "nearest"},
    {"head_upsample": "nearest", "teacher": "reversed", "include_background": False, "shared_heads": True},
    {"head_upsample": "nearest", "teacher": "mean", "temperature": 2.0, "t2_factor": False},
    {"head_upsample": "nearest", "ds_levels": ("decoder.2", "bottleneck"), "eta": {"bottleneck": 0.25}},
    {"teacher": "mean"},
    {"teacher": "reversed"},
    {"teacher": "mean", "include_background": False, "temperature": 2.0, "shared_heads": True},
    {"teacher": "reversed", "head_upsample": "trilinear", "t2_factor": False},
    {"ds_levels": ("decoder.1", "decoder.2", "decoder.3")},
    {"eta": {"decoder.1": 0.5, "bottleneck": 0.25}},
    {"weights": {"feature_l2": FEATURE_L2_WEIGHT}},
    {"weights": {"encoder": 0.05, "decoder": 2.0, "seg": 0.95, "feature_l2": 1.0}, "shared_heads": True},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("patch", [(16, 16, 16), (32, 16)], ids=str)
def test_equals_numpy_term_by_term(patch: tuple[int, ...], options: dict[str, Any]) -> None:
    if len(patch) == 2 and options.get("head_upsample") == "shared_x2":
        pytest.skip("covered in 3D")
    shapes = u_shapes(patch)
    torch.manual_seed(0)
    method = DualSelfDistillation(shapes, 3, patch, **options).double()
    outputs, batch = example(shapes, patch)
    losses = method({"student": outputs}, batch)
    expected = np_terms(method, outputs, batch, options)
    assert losses.terms.keys() == expected.keys()
    for name, value in expected.items():
        assert losses.terms[name].item() == pytest.approx(value, rel=1e-12, abs=1e-13), name
    total = sum(
        {**method.paper_weights, **options.get("weights", {})}[name] * expected[name] for name in expected
    )
    assert losses.total.item() == pytest.approx(total, rel=1e-12)


def test_anisotropic_strides_use_a_deconvolution_per_axis() -> None:
    patch = (8, 16, 16)
    shapes = u_shapes(patch)
    shapes |= dict.fromkeys(("encoder.3", "decoder.3"), (2, 5, 2, 2, 2)) | {"bottleneck": (2, 6, 2, 1, 1)}
    method = DualSelfDistillation(shapes, 3, patch).double()
    kinds = {name: method.heads[name.replace(".", "_")].upsampling for name in (*ENCODER, *DECODER)}
    assert kinds == dict.fromkeys((*ENCODER[:3], *DECODER[:2]), "shared_x2") | dict.fromkeys(
        ("encoder.3", "decoder.3", "bottleneck"), "single_deconv"
    )
    outputs, batch = example(shapes, patch)
    losses = method({"student": outputs}, batch)
    # The two kinds of head list their voxels in one order: the same numbers on the natural grid.
    expected = np_terms_by_layers(method, outputs, batch)
    for name, value in expected.items():
        assert losses.terms[name].item() == pytest.approx(value, rel=1e-12), name


def np_terms_by_layers(method: DualSelfDistillation, outputs: Outputs, batch: Batch) -> dict[str, float]:
    """The default objective, each head by its own layers."""
    label, z = batch.label.numpy(), {}
    for name in (*ENCODER, *DECODER):
        head = method.heads[name.replace(".", "_")]
        map_ = head.project(outputs[name])
        for _ in range(max(head.times, 1)):
            map_ = head.enlarge(map_)
        z[name] = map_.detach().numpy()
    soft = {name: np_softmax(value / 3) for name, value in z.items()}
    return {
        "deep_supervision": sum(np_dce(z[name], label) for name in DECODER),
        "encoder": 9 * sum(np_kl(soft[name], soft["encoder.3"]) for name in ENCODER[:3]),
        "decoder": 9 * sum(np_kl(soft[name], soft["decoder.1"]) for name in DECODER[1:]),
    }


GRADIENT_OPTIONS: list[dict[str, Any]] = [
    {},
    {"detach_teacher": True},
    {"teacher": "mean"},
    {"teacher": "reversed", "include_background": False},
    {"head_upsample": "single_deconv", "weights": {"feature_l2": 1.0}},
    {"head_upsample": "trilinear", "shared_heads": True, "temperature": 1.0},
    {"head_upsample": "nearest"},
    {"head_upsample": "nearest", "teacher": "reversed", "detach_teacher": False, "include_background": False},
]


@pytest.mark.parametrize("options", GRADIENT_OPTIONS, ids=str)
def test_gradients_are_those_of_the_value(options: dict[str, Any]) -> None:
    """Finite differences in float64, through the heads' parameters too."""
    patch = (4, 4)
    shapes = {
        name: (1, 2, *(size,) * 2) for name, size in [("encoder.0", 4), ("encoder.1", 2), ("encoder.2", 1)]
    }
    shapes |= {"decoder.1": (1, 2, 2, 2), "decoder.2": (1, 3, 1, 1), "bottleneck": (1, 3, 1, 1)}
    method = DualSelfDistillation(shapes, 3, patch, **options).double()
    names = list(shapes)
    parameters = [p for p in method.parameters() if p.requires_grad]
    rng = np.random.default_rng(0)
    inputs = [torch.tensor(rng.normal(size=(1, 3, *patch)))]
    inputs += [torch.tensor(rng.normal(size=shape)) for shape in shapes.values()]
    label = torch.tensor(rng.integers(0, 3, (1, 1, *patch)))
    # A detached teacher is a constant of the loss, which finite differences cannot know: its inputs stay.
    fixed = {"encoder.2", "decoder.1"} if options.get("detach_teacher") else set()

    def total(logits: torch.Tensor, *rest: torch.Tensor) -> torch.Tensor:
        features = dict(zip(names, rest, strict=False))
        return method({"student": Outputs(logits, features)}, Batch(logits[:, :1], label)).total

    for name, value in zip(["logits", *names], inputs, strict=True):
        value.requires_grad_(name not in fixed)
    heads = [] if fixed else parameters
    assert torch.autograd.gradcheck(lambda *values: total(*values[: len(inputs)]), (*inputs, *heads))


def test_by_blocks_unknown_voxels_count_for_nothing() -> None:
    """As with outputs that are repeated in fact, of which the known voxels are compared."""
    patch = (16, 16)
    shapes = u_shapes(patch)
    method = DualSelfDistillation(shapes, 3, patch, head_upsample="nearest").double()
    outputs, batch = example(shapes, patch)
    batch.label[0, :, :5] = UNKNOWN
    found = method({"student": outputs}, batch).terms["deep_supervision"]
    expected = 0.0
    for name in DECODER:
        head = method.heads[name.replace(".", "_")]
        z = head.project(outputs[name])
        expected += dice_cross_entropy(torch.nn.functional.interpolate(z, patch), batch.label).item()
    assert found.item() == pytest.approx(expected, rel=1e-12)


def test_outputs_that_are_not_nested_are_refused_by_blocks() -> None:
    shapes = u_shapes((12, 12)) | {"encoder.1": (2, 3, 6, 6), "encoder.2": (2, 3, 4, 4)}
    with pytest.raises(UserError, match=r"not nested.*choose another head_upsample, such as 'trilinear'"):
        DualSelfDistillation(shapes, 3, (12, 12), head_upsample="nearest")


def gradients(**options: Any) -> tuple[DualSelfDistillation, Outputs]:
    patch = (16, 16, 16)
    shapes = u_shapes(patch)
    method = DualSelfDistillation(shapes, 3, patch, **options).double()
    outputs, batch = example(shapes, patch)
    method({"student": outputs}, batch).total.backward()
    return method, outputs


ONLY = {"seg": 0.0, "deep_supervision": 0.0, "encoder": 0.0, "decoder": 0.0}


@pytest.mark.parametrize(
    ("side", "teacher", "name"),
    [
        ("encoder", "deepest", "encoder.3"),
        ("decoder", "deepest", "decoder.1"),
        ("encoder", "reversed", "encoder.0"),
        ("decoder", "reversed", "bottleneck"),
    ],
)
def test_the_teacher_learns_only_if_it_is_not_detached(side: str, teacher: Any, name: str) -> None:
    weights = ONLY | {side: 1.0}
    _, attached = gradients(weights=weights, teacher=teacher)
    assert attached[name].grad is not None
    assert attached[name].grad.abs().max() > 0
    method, detached = gradients(weights=weights, teacher=teacher, detach_teacher=True)
    assert detached[name].grad is None or detached[name].grad.abs().max() == 0
    others = [n for n in (ENCODER if side == "encoder" else DECODER) if n != name]
    assert all(detached[n].grad is not None and detached[n].grad.abs().max() > 0 for n in others)
    # The teacher's own head is never taught: frozen, so that no parameter waits for a gradient.
    frozen = {
        key for key, head in method.heads.items() if not any(p.requires_grad for p in head.parameters())
    }
    assert frozen == {name.replace(".", "_")}


def test_a_detached_teacher_still_learns_from_its_label() -> None:
    method, outputs = gradients(detach_teacher=True)
    assert outputs["decoder.1"].grad is not None
    assert all(p.requires_grad for p in method.heads["decoder_1"].parameters())
    assert not any(p.requires_grad for p in method.heads["encoder_3"].parameters())


def test_a_detached_mean_stays_a_teacher_of_all() -> None:
    _, outputs = gradients(weights=ONLY | {"encoder": 1.0}, teacher="mean", detach_teacher=True)
    assert all(outputs[name].grad is not None for name in ENCODER)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_every_parameter_that_may_learn_gets_a_gradient(options: dict[str, Any]) -> None:
    method, _ = gradients(**options)
    for name, parameter in method.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name


def test_no_divergence_where_all_agree() -> None:
    patch = (16, 16, 16)
    shapes = u_shapes(patch)
    method = DualSelfDistillation(shapes, 3, patch).double()
    for head in method.heads.values():
        head.project.weight.data.zero_()
        head.enlarge.weight.data.zero_()
        head.enlarge.bias.data.copy_(torch.tensor([0.3, -1.0, 2.0]))
    outputs, batch = example(shapes, patch)
    terms = method({"student": outputs}, batch).terms
    assert terms["encoder"].item() == pytest.approx(0, abs=1e-14)
    assert terms["decoder"].item() == pytest.approx(0, abs=1e-14)
    assert terms["deep_supervision"].item() > 0


@pytest.mark.parametrize(
    ("weights", "terms", "taps"),
    [
        ({"deep_supervision": 0, "encoder": 0, "decoder": 0}, {"seg"}, ()),  # Basic
        ({"encoder": 0, "decoder": 0}, {"seg", "deep_supervision"}, DECODER),  # DS
        ({"encoder": 0}, {"seg", "deep_supervision", "decoder"}, DECODER),  # SDD
        ({"decoder": 0}, {"seg", "deep_supervision", "encoder"}, ENCODER + DECODER),  # SDE
        ({}, {"seg", "deep_supervision", "encoder", "decoder"}, ENCODER + DECODER),  # DSD
        (ONLY | {"feature_l2": 1.0}, {"feature_l2"}, ENCODER[1:] + DECODER[:3]),
    ],
)
def test_what_an_ablation_does_not_need_is_not_there(
    weights: dict[str, float], terms: set[str], taps: tuple[str, ...]
) -> None:
    patch = (16, 16, 16)
    shapes = u_shapes(patch)
    method = DualSelfDistillation(shapes, 3, patch, weights=weights).double()
    assert set(method.roles["student"].taps) == set(taps)
    assert len(method.heads) == (0 if terms == {"feature_l2"} else len(taps))
    outputs, batch = example(shapes, patch)
    only_tapped = Outputs(outputs.logits, {name: outputs[name] for name in taps})
    assert method({"student": only_tapped}, batch).terms.keys() == terms


def test_basic_is_the_control() -> None:
    patch = (16, 16, 16)
    shapes = u_shapes(patch)
    basic = DualSelfDistillation(
        shapes, 3, patch, weights={"deep_supervision": 0, "encoder": 0, "decoder": 0}
    )
    outputs, batch = example(shapes, patch)
    assert torch.equal(
        basic({"student": outputs}, batch).total, Supervised()({"student": outputs}, batch).total
    )
    assert sum(p.numel() for p in basic.parameters()) == 0


def test_deep_supervision_of_three_levels_builds_three_heads() -> None:
    patch = (16, 16, 16)
    levels = ("decoder.1", "decoder.2", "decoder.3")
    weights = {"encoder": 0, "decoder": 0}
    method = DualSelfDistillation(u_shapes(patch), 3, patch, ds_levels=levels, weights=weights)
    assert method.roles["student"].taps == levels


def test_shared_heads_are_one_per_channels_and_stride() -> None:
    patch = (16, 16, 16)
    shapes = u_shapes(patch)
    assert len(DualSelfDistillation(shapes, 3, patch).heads) == 8
    assert len(DualSelfDistillation(shapes, 3, patch, shared_heads=True).heads) == 5
    vnet = shapes | {"decoder.2": (2, 7, 4, 4, 4), "decoder.3": (2, 8, 2, 2, 2)}
    assert len(DualSelfDistillation(vnet, 3, patch, shared_heads=True).heads) == 7


def test_the_order_of_voxels_is_not_saved() -> None:
    patch = (16, 16, 16)
    names = DualSelfDistillation(u_shapes(patch), 3, patch).state_dict()
    assert {name.split(".")[0] for name in names} == {"heads"}
    assert {name.rsplit(".", 2)[1] for name in names} == {"project", "enlarge"}


def names_of(
    encoder: Sequence[int], decoder: Sequence[int], bottleneck: bool = True
) -> dict[str, tuple[int, ...]]:
    sides = {f"encoder.{i}": (1, 2, 8) for i in encoder} | {f"decoder.{i}": (1, 2, 8) for i in decoder}
    return sides | ({"bottleneck": (1, 2, 8)} if bottleneck else {})


@pytest.mark.parametrize(
    ("shapes", "encoder", "decoder"),
    [
        (names_of(range(4), range(4)), ENCODER, DECODER),  # DynUNet, UNETR, VNet
        (names_of(range(5), range(5)), ENCODER, (*DECODER[:3], "decoder.4")),  # Swin UNETR, deeper DynUNet
        (names_of(range(2), range(2)), ENCODER[:2], ("decoder.1", "bottleneck")),  # a shallow one
        (names_of([1, 2, 3], range(4)), ENCODER[1:], DECODER),  # no full-resolution encoder feature
        (names_of(range(3), range(4), bottleneck=False), ENCODER[:3], DECODER[:3]),
    ],
)
def test_default_sides(
    shapes: dict[str, tuple[int, ...]], encoder: tuple[str, ...], decoder: tuple[str, ...]
) -> None:
    assert default_sides(shapes) == (encoder, decoder)


def make(
    classes: int = 3, shapes: Mapping[str, tuple[int, ...]] | None = None, **options: Any
) -> DualSelfDistillation:
    return DualSelfDistillation(shapes or u_shapes((16, 16, 16)), classes, (16, 16, 16), **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": 0}, "the temperature is 0, it must be above 0"),
        ({"temperature": float("nan")}, "the temperature is nan"),
        ({"teacher": "deep"}, "unknown teacher 'deep'; did you mean 'deepest'?"),
        ({"head_upsample": "bilinear"}, "unknown head_upsample 'bilinear'; did you mean 'trilinear'?"),
        ({"ds_levels": ("decoder.0",)}, "unknown decoder side output 'decoder.0'"),
        ({"ds_levels": ()}, "deep supervision has no level"),
        (
            {"ds_levels": ("decoder.1",), "eta": {"decoder.2": 1.0}},
            "unknown deep supervision level 'decoder.2'",
        ),
        ({"encoder": ("encoder.0", "encoder.9")}, "unknown feature 'encoder.9'"),
        ({"encoder": ("encoder.0",)}, "needs at least two"),
        ({"classes": 2, "include_background": False}, "without the background 1 class is left"),
        ({"shapes": {"encoder.0": (1, 2, 8, 8, 8)}}, "needs at least two"),
        (
            {"encoder": ("encoder.0", "encoder.1"), "weights": {"feature_l2": 1.0}},
            "feature_l2 needs at least three",
        ),
    ],
    ids=str,
)
def test_wrong_options_say_what_is_right(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as error:
        make(**options)
    assert message in str(error.value)


def test_an_unknown_weight_is_refused() -> None:
    with pytest.raises(ValueError, match="has no term"):
        make(weights={"alpha": 1.0})


def test_bfloat16_features_give_float32_terms() -> None:
    patch = (16, 16, 16)
    shapes = u_shapes(patch)
    method = DualSelfDistillation(shapes, 3, patch, weights={"feature_l2": 1.0})
    outputs, batch = example(shapes, patch)
    half = Outputs(outputs.logits.bfloat16(), {name: f.bfloat16() for name, f in outputs.features.items()})
    with torch.autocast("cpu", torch.bfloat16):
        rounded = method({"student": half}, batch).terms
    exact = method.double()({"student": outputs}, batch).terms
    for name, term in rounded.items():
        assert term.dtype == torch.float32
        assert term.item() == pytest.approx(exact[name].item(), rel=0.05), name
