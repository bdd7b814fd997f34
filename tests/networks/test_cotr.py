"""CoTr: published counts, what its parts compute, and that it can be shipped."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from distilseg.errors import UserError
from distilseg.export.onnx import write_onnx
from distilseg.export.openvino import write_openvino
from distilseg.networks import NetworkSpec, build, divisor, feature_shapes, parameters
from distilseg.networks.cotr import CoTr, DeformableTransformer, StandardisedConvolution, sine_position
from distilseg.networks.features import Tapped

from .known_weights import by_rule, with_known_weights

SMALL: dict[str, Any] = {"filters": [6, 8, 12], "mlp": 24, "layers": 1, "heads": 2, "points": 2}
PATCH = (16, 32, 48)


def shapes_only(modalities: int, classes: int, patch: tuple[int, ...], **options: Any) -> nn.Module:
    with torch.device("meta"):
        return build(NetworkSpec("cotr", modalities, classes, patch, options))


def small(**options: Any) -> CoTr:
    """With weights at which attention is no constant, and norms that scale and shift."""
    torch.manual_seed(0)
    network = build(NetworkSpec("cotr", 2, 3, PATCH, {**SMALL, **options})).eval()
    assert isinstance(network, CoTr)
    for name, parameter in network.named_parameters():
        if "offsets" in name or "weights" in name or parameter.ndim == 1:
            nn.init.normal_(parameter, std=0.5)
    return network


@pytest.mark.parametrize(
    ("modalities", "classes", "count"),
    [(1, 4, 41_865_424), (1, 14, 41_872_504), (4, 4, 41_865_424 + 3 * 64 * 343)],
)
def test_published_parameters(modalities: int, classes: int, count: int) -> None:
    """`architectures.md`, section 2.8; each further modality has 64 kernels of 7x7x7 in the stem."""
    assert parameters(shapes_only(modalities, classes, (48, 192, 192))) == count
    assert parameters(shapes_only(modalities, classes, (128, 128, 128), standardised=False)) == count


# Logits of the authors' modules (github.com/YtongXie/CoTr), transcribed, with weights by the same rule.
VOXELS = ((0, 0, 0, 0), (1, 3, 7, 5), (2, 8, 20, 11), (0, 15, 15, 15), (1, 12, 2, 9), (2, 5, 13, 4))
AUTHORS = {
    True: (1.05857, -0.39251, 0.51238, 0.70327, 0.06935, -0.10245),
    False: (0.93213, -0.42403, 0.52044, 0.65353, 0.02594, -0.1767),
}


@pytest.mark.parametrize("standardised", AUTHORS)
def test_answers_as_the_authors_modules(standardised: bool) -> None:
    options = {**SMALL, "layers": 2, "heads": 3, "points": 4, "standardised": standardised}
    network = with_known_weights(build(NetworkSpec("cotr", 2, 3, PATCH, options)))
    with torch.no_grad():
        logits = network(4 * by_rule((1, 2, *PATCH), 0))
    found = [float(logits[0][voxel]) for voxel in VOXELS]
    np.testing.assert_allclose(found, AUTHORS[standardised], atol=2e-4)


def test_feature_shapes() -> None:
    expected = {
        "bottleneck": (1, 384, 6, 12, 12),
        **{
            f"{side}.{level}": (1, width, 48 >> level, 96 >> level, 96 >> level)
            for side in ("encoder", "decoder")
            for level, width in enumerate((64, 192, 384))
        },
        **{f"side.{level + 1}": (1, 4, 48 >> level, 96 >> level, 96 >> level) for level in range(3)},
    }
    network = shapes_only(1, 4, (48, 192, 192))
    assert feature_shapes(network, (1, 1, 48, 192, 192)) == expected


@pytest.mark.parametrize("stride", [(1, 2, 2), (2, 2, 1)])
def test_the_axis_of_thick_slices(stride: tuple[int, int, int]) -> None:
    spec = NetworkSpec("cotr", 1, 2, (32, 32, 32), {**SMALL, "first_stride": list(stride)})
    assert divisor(spec) == tuple(8 * step for step in stride)
    finest = feature_shapes(build(spec), (1, 1, 32, 32, 32))["encoder.0"]
    assert finest == (1, 6, *(32 // step for step in stride))


def test_a_position_is_told_by_a_third_of_the_channels_per_axis() -> None:
    size = (2, 3, 4)
    found = sine_position(size, torch.zeros(18, dtype=torch.float64)).reshape(*size, 18)
    for voxel in np.ndindex(*size):
        expected = []
        for i, voxels in zip(voxel, size, strict=True):
            for k in range(6):
                angle = 2 * math.pi * (i + 0.5) / (voxels + 1e-6) / 10_000 ** (3 * (k // 3) / 6)
                expected.append(math.cos(angle) if k % 2 else math.sin(angle))
        np.testing.assert_allclose(found[voxel].numpy(), expected, rtol=1e-12)


def test_a_token_sees_both_maps() -> None:
    torch.manual_seed(0)
    transformer = DeformableTransformer(12, 24, 1, 2, 2, 0.0, "code").eval()
    maps = [torch.randn(1, 12, 2, 4, 4), torch.randn(1, 12, 1, 2, 2)]
    with torch.no_grad():
        transformer.layers[0].attention.offsets.bias.zero_()  # voxels of so small a map are soon left
        before = transformer(maps)
        assert [m.shape for m in before] == [m.shape for m in maps]
        for changed in (0, 1):
            others = [m + (torch.randn_like(m) if level == changed else 0) for level, m in enumerate(maps)]
            after = transformer(others)
            assert all(not torch.allclose(a, b) for a, b in zip(before, after, strict=True))


def test_standardised_weights() -> None:
    """Neither scale nor offset of a kernel matters; NumPy's sample deviation."""
    torch.manual_seed(0)
    layer = StandardisedConvolution(2, 3, 3, padding=1, bias=False).double()
    image = torch.randn(1, 2, 4, 5, 6, dtype=torch.float64)
    kernels = layer.weight.detach().numpy().reshape(3, -1)
    standard = (kernels - kernels.mean(1, keepdims=True)) / kernels.std(1, ddof=1, keepdims=True)
    with torch.no_grad():
        found = layer(image)
        torch.testing.assert_close(
            found, F.conv3d(image, torch.tensor(standard).reshape(layer.weight.shape), padding=1)
        )
        layer.weight.mul_(3).add_(0.7)
        torch.testing.assert_close(layer(image), found)


def counted(network: nn.Module) -> int:
    return sum(isinstance(module, StandardisedConvolution) for module in network.modules())


def test_where_weights_are_standardised() -> None:
    """Stem, 8 blocks, 3 shortcuts, twice 3 in the decoder: all but transposed convolutions and heads."""
    assert counted(small()) == 1 + 8 + 3 + 6
    assert counted(small(standardised=False)) == 0


def test_the_order_of_head_and_interpolation_does_not_matter() -> None:
    """The authors interpolate the last map, then map it to classes."""
    network, image = small(), torch.randn(2, 2, *PATCH)
    with torch.no_grad(), Tapped(network, ("decoder.0",)) as tapped:
        outputs = tapped(image)
        finer = F.interpolate(outputs["decoder.0"], scale_factor=(1, 2, 2), mode="trilinear")
        torch.testing.assert_close(outputs.logits, network.head(finer), atol=1e-5, rtol=1e-5)


def test_a_level_of_the_decoder() -> None:
    """decoder.1 = double(up(decoder.2) + encoder.1), and a side answer is its 1x1x1 convolution."""
    network, image = small(), torch.randn(1, 2, *PATCH)
    with torch.no_grad(), Tapped(network, ("*",)) as tapped:
        outputs = tapped(image)
        summed = network.up[1](outputs["decoder.2"]) + outputs["encoder.1"]
        torch.testing.assert_close(outputs["decoder.1"], network.decoder[1](summed))
        weight, bias = network.sides[1].weight, network.sides[1].bias
        assert isinstance(weight, Tensor)
        assert isinstance(bias, Tensor)
        expected = torch.einsum("kc,bcijl->bkijl", weight[..., 0, 0, 0], outputs["decoder.1"])
        torch.testing.assert_close(outputs["side.2"], expected + bias[:, None, None, None])


def test_the_two_ways_to_sample_differ_and_share_weights() -> None:
    image = torch.randn(1, 2, *PATCH)
    code, paper = small(), small(sampling="paper")
    paper.load_state_dict(code.state_dict())
    with torch.no_grad():
        assert not torch.allclose(code(image), paper(image), atol=1e-3)


def test_another_size_of_patch() -> None:
    """Positions are computed, so that the network is bound to no size."""
    with torch.no_grad():
        assert small()(torch.randn(1, 2, 24, 48, 32)).shape == (1, 3, 24, 48, 32)


def test_in_half_precision() -> None:
    network, image = small(), torch.randn(1, 2, *PATCH)
    with torch.no_grad():
        expected = network(image)
        with torch.autocast("cpu", torch.bfloat16):
            found = network(image)
    assert (found.float() - expected).abs().max() < 0.1 * expected.abs().max()


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_a_cuda_device() -> None:
    network, image = small(), torch.randn(2, 2, *PATCH)
    with torch.no_grad():
        expected = network(image)
        found = network.cuda()(image.cuda()).cpu()
    assert (found - expected).abs().max() < 1e-2 * expected.abs().max()


@pytest.fixture(scope="module")
def shipped() -> tuple[CoTr, np.ndarray, np.ndarray]:
    """A network, three windows and what it answers."""
    network, windows = small(), torch.randn(3, 2, *PATCH)
    with torch.no_grad():
        return network, windows.numpy(), network(windows).numpy()


def test_exported_to_onnx(shipped: tuple[CoTr, np.ndarray, np.ndarray], tmp_path: Path) -> None:
    """For a number of windows that the exporter did not see."""
    onnxruntime = pytest.importorskip("onnxruntime")
    network, windows, expected = shipped
    write_onnx(network, tmp_path / "network.onnx", modalities=2, patch=PATCH)
    (found,) = onnxruntime.InferenceSession(tmp_path / "network.onnx").run(None, {"image": windows})
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


def test_exported_to_openvino(shipped: tuple[CoTr, np.ndarray, np.ndarray], tmp_path: Path) -> None:
    openvino = pytest.importorskip("openvino")
    network, windows, expected = shipped
    write_openvino(network, tmp_path / "network.xml", modalities=2, patch=PATCH)
    model = openvino.Core().compile_model(
        tmp_path / "network.xml", "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )
    np.testing.assert_allclose(model([windows])[0], expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sampling": "own"}, "unknown sampling of cotr 'own'"),
        ({"filters": [6, 8]}, "cotr: 2 filter counts; give 3, the coarsest counts twice"),
        ({"filters": [6, 8, 10]}, "10 coarsest filters; give at least 1 each, and coarsest filters that 6"),
        ({"heads": 5}, "5 heads, 2 points, mlp 24 and 12 coarsest filters"),
        ({"first_stride": [2, 2]}, "cotr: first_stride [2, 2]; give one number per axis"),
    ],
)
def test_mistakes(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as caught:
        build(NetworkSpec("cotr", 1, 2, PATCH, {**SMALL, **options}))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("patch", "message"),
    [
        ((32, 32), "cotr cannot take a patch of 32x32 voxels: it is 3D; give three sizes"),
        ((20, 32, 32), r"multiple of 8x16x16; the smallest .* is 24x32x32"),
        ((8, 16, 16), "bottleneck of one voxel"),
    ],
)
def test_a_patch_it_cannot_take(patch: tuple[int, ...], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build(NetworkSpec("cotr", 1, 2, patch, SMALL))
