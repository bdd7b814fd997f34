from __future__ import annotations

import json
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from distilseg.data.scans.scan import Geometry, Scan
from distilseg.errors import UserError
from distilseg.teachers import graphs
from distilseg.teachers.identity import content_digest
from distilseg.teachers.teacher import Teacher, TeacherOptions
from tests.teachers.fixtures import teachers

CARD: dict[str, Any] = {
    "modalities": ["MR"],
    "labels": {"0": "background", "1": "bright"},
    "spacing_mm": [2, 2, 2],
    "normalisation": "none",
    "orientation": "LPS",
    "patch": [8, 8, 8],
}
WEIGHT = np.array([[-1.0], [1.0]], np.float32)  # background, bright; at the threshold 1/2 they are equal
BIAS = np.array([0.5, -0.5], np.float32)


def graph(
    path: Path,
    shape: Sequence[Any] = ("n", 1, "i", "j", "k"),
    *,
    outputs: Sequence[str] = ("logits",),
    ends: Sequence[Any] = (),
    kind: int = TensorProto.FLOAT,
    external: str | None = None,
    domain: str = "",
) -> Path:
    """An ONNX file of a 1 x 1 x 1 convolution: logits 1/2 - x and x - 1/2. `ends` are nodes behind it."""
    dtype = np.float16 if kind == TensorProto.FLOAT16 else np.float32
    space = len(shape) - 2
    weight = numpy_helper.from_array(WEIGHT.reshape(2, 1, *[1] * space).astype(dtype), "w")
    if external is not None:
        weight.ClearField("raw_data")
        weight.data_location = TensorProto.EXTERNAL
        weight.external_data.add(key="location", value=external)
    bias = numpy_helper.from_array(BIAS.astype(dtype), "b")
    first = "logits" if not ends else "inner"
    nodes = [helper.make_node("Conv", ["x", "w", "b"], [first]), *ends]
    if domain:
        nodes.append(helper.make_node("Strange", ["x"], ["strange"], domain=domain))
    made = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", kind, list(shape))],
        [helper.make_tensor_value_info(name, kind, None) for name in outputs],
        [weight, bias],
    )
    imports = [helper.make_opsetid("", 17), *([helper.make_opsetid(domain, 1)] if domain else [])]
    model = helper.make_model(made, opset_imports=imports, ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


def with_card(path: Path, **changes: Any) -> Path:
    card = {k: v for k, v in (CARD | changes).items() if v is not None}
    path.with_suffix(".json").write_text(json.dumps(card))
    return path


def opened(path: Path, **options: Any) -> graphs.GraphTeacher:
    assert graphs.recognises(path)
    return graphs.open_as_teacher(path, TeacherOptions(device="cpu", **options))


def scan(shape: tuple[int, ...] = (11, 9, 13), spacing: float = 2.0) -> Scan:
    array = np.random.default_rng(0).random(shape).astype(np.float32)
    return Scan(array, Geometry(shape, np.diag([spacing, spacing, spacing, 1.0])), Path("scan.nii.gz"))


def assert_bright(teacher: graphs.GraphTeacher, x: Scan) -> None:
    """Its second logit is the scan less 1/2, in LPS."""
    logits = teacher.answer({"MR": x}, case="a").logits
    np.testing.assert_allclose(logits[1, ::-1, ::-1], x.array - 0.5, atol=1e-6)


def test_its_logits_lie_where_the_scan_s_voxels_do(tmp_path: Path) -> None:
    teacher, scans = opened(with_card(graph(tmp_path / "a.onnx"))), {"MR": scan()}
    assert isinstance(teacher, Teacher)
    assert teacher.gives == "logits"
    answer = teacher.answer(scans, case="a")
    assert answer.placement.step == (-1.0, -1.0, 1.0)  # shown as LPS, stored as RAS
    x = scans["MR"].array
    np.testing.assert_allclose(answer.logits[1, ::-1, ::-1], x - 0.5, atol=1e-6)
    np.testing.assert_array_equal(teacher.labels(answer, scans), x > 0.5)
    p = teacher.probabilities(answer, scans)
    np.testing.assert_allclose(p[1], 1 / (1 + np.exp(1 - 2 * x)), atol=1e-6)
    told = json.loads(json.dumps(teacher.summary()))
    assert (told["kind"], told["patch"], told["licence"]) == ("ONNX", [8, 8, 8], "not stated")


def test_the_network_of_nnunet_gives_what_its_probe_says(tmp_path: Path) -> None:
    of = teachers()
    probe = np.load(of / "a_fold0_probe.npz")
    labels = {"background": 0, "Anterior": 1, "Posterior": 2}
    (tmp_path / "card.json").write_text(json.dumps(CARD | {"patch": [32, 40, 32], "labels": labels}))
    for name in ("a_fold0.onnx", "a_fold0.ts"):
        trust = (content_digest((of / name).read_bytes()),)
        teacher = opened(of / name, card=tmp_path / "card.json", trust=trust)
        np.testing.assert_allclose(teacher.network(probe["image"]), probe["logits"], atol=1e-4)
        assert teacher.gives == "logits"


SOFTMAX = helper.make_node("Softmax", ["inner"], ["logits"], axis=1)
SIGMOID = helper.make_node("Sigmoid", ["inner"], ["logits"])


def test_probabilities_are_known_as_such(tmp_path: Path) -> None:
    scans = {"MR": scan()}
    plain = opened(with_card(graph(tmp_path / "a.onnx")))
    expected = plain.answer(scans, case="a").logits
    teacher = opened(with_card(graph(tmp_path / "b.onnx", ends=[SOFTMAX])))
    found = teacher.answer(scans, case="a").logits
    assert teacher.gives == "probabilities"
    np.testing.assert_allclose(found - found[:1], expected - expected[:1], atol=1e-5)
    regions = {"labels": {"background": 0, "dark": 1, "bright": 2}, "activation": "sigmoid"}
    teacher = opened(with_card(graph(tmp_path / "c.onnx", ends=[SIGMOID]), **regions))
    np.testing.assert_allclose(teacher.answer(scans, case="a").logits, expected, atol=1e-5)
    assert [head.name for head in teacher.heads] == ["dark", "bright"]
    twice = [helper.make_node("Sigmoid", [one], [two]) for one, two in (("inner", "p"), ("p", "logits"))]
    path = with_card(graph(tmp_path / "d.onnx", ends=twice))
    with pytest.raises(UserError, match=r"numbers in 0 to 1 that do not sum to 1: logits, or regions"):
        opened(path)
    assert opened(with_card(tmp_path / "d.onnx", gives="logits")).gives == "logits"


def test_fixed_batches_half_precision_and_windows(tmp_path: Path) -> None:
    scans = {"MR": scan()}
    expected = opened(with_card(graph(tmp_path / "a.onnx"))).answer(scans, case="a").logits
    fixed = with_card(graph(tmp_path / "b.onnx", (3, 1, 8, 8, 8)), patch=None)
    np.testing.assert_allclose(opened(fixed).answer(scans, case="a").logits, expected, atol=1e-6)
    half = with_card(graph(tmp_path / "c.onnx", kind=TensorProto.FLOAT16))
    np.testing.assert_allclose(opened(half).answer(scans, case="a").logits, expected, atol=2e-3)
    flat = with_card(graph(tmp_path / "d.onnx", ("n", 1, "i", "j")), patch=[8, 8, 1])
    np.testing.assert_allclose(opened(flat).answer(scans, case="a").logits, expected, atol=1e-6)
    teacher = opened(fixed, mirror=True, step=0.5, orientation="RAS", threads=1)
    assert teacher.window["overlap"] == 0.5
    found = teacher.answer(scans, case="a")
    np.testing.assert_allclose(found.logits, expected[:, ::-1, ::-1], atol=1e-6)
    assert teacher.digest != opened(fixed).digest


def test_the_output_of_the_window_s_size_is_taken(tmp_path: Path) -> None:
    pooled = [
        helper.make_node("AveragePool", ["inner"], ["coarse"], kernel_shape=[2] * 3, strides=[2] * 3),
        helper.make_node("Identity", ["inner"], ["logits"]),
    ]
    teacher = opened(with_card(graph(tmp_path / "a.onnx", outputs=("coarse", "logits"), ends=pooled)))
    assert teacher.answer({"MR": scan()}, case="a").logits.shape == (2, 11, 9, 13)
    twice = [helper.make_node("Identity", ["inner"], [name]) for name in ("one", "logits")]
    path = with_card(graph(tmp_path / "b.onnx", outputs=("one", "logits"), ends=twice))
    with pytest.raises(UserError, match=r"2 outputs of the size of a window: one, logits; say in the card"):
        opened(path)
    opened(with_card(path, output="logits"))
    with pytest.raises(UserError, match=r"has no output 'two'; known: one, logits"):
        opened(with_card(path, output="two"))


def test_numbers_in_another_file_are_read_from_beside_it_alone(tmp_path: Path) -> None:
    (tmp_path / "w.bin").write_bytes(WEIGHT.tobytes())
    teacher = opened(with_card(graph(tmp_path / "a.onnx", external="w.bin")))
    x = scan()
    assert_bright(teacher, x)
    assert set(teacher.provenance.files) == {"a.onnx", "w.bin", "a.json"}
    for location in ("../w.bin", "/etc/passwd", "C:\\w.bin", "..\\w.bin", ""):
        with pytest.raises(UserError, match=r"has numbers in .*, which leads out of its folder; no export"):
            opened(with_card(graph(tmp_path / "b.onnx", external=location)))
    with pytest.raises(UserError, match=r"has numbers in v\.bin, which is not beside it; copy that file too"):
        opened(with_card(graph(tmp_path / "b.onnx", external="v.bin")))
    (tmp_path / "inner").mkdir()
    os.symlink(tmp_path / "w.bin", tmp_path / "inner" / "w.bin")
    with pytest.raises(UserError, match=r"has numbers in w\.bin, a link out of its folder"):
        opened(with_card(graph(tmp_path / "inner" / "b.onnx", external="w.bin")))


def test_operators_from_elsewhere_are_refused(tmp_path: Path) -> None:
    path = with_card(graph(tmp_path / "a.onnx", domain="evil.ops"))
    with pytest.raises(UserError, match=r"needs operators of 'evil\.ops', which only a library"):
        opened(path)


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    path = with_card(graph(tmp_path / "a.onnx"))
    content = path.read_bytes()
    for changed in (content[: len(content) // 2], b"", b"no graph at all", b"\xff" * 40):
        path.write_bytes(changed)
        told = r"a\.onnx (is no whole ONNX file|cannot be loaded) .*again"
        with pytest.raises(UserError, match=told) as refused:
            opened(path)
        assert "\n" not in str(refused.value)
    deep = b""
    for _ in range(60):  # a graph in an attribute of a node of a graph ...
        deep = _field(7 if len(deep) > 5000 else 1, _field(5, _field(6, deep)))
    path.write_bytes(_field(7, deep))
    with pytest.raises(UserError, match=r"is no whole ONNX file \(it is nested too deep\)"):
        opened(path)


def _field(number: int, content: bytes) -> bytes:
    size, length = len(content), b""
    while size > 127:
        length += bytes([size & 127 | 128])
        size >>= 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + content


CARDS: list[tuple[dict[str, Any], str]] = [
    ({"modalities": None}, r"a\.json: the field modalities is missing; correct the card"),
    ({"labels": None}, r"a\.json: the field labels is missing \(or classes\)"),
    ({"spacing_mm": None}, r"the field spacing_mm is missing"),
    ({"spacing_mm": [1, 1, 0]}, r"spacing_mm\.2: Input should be greater than 0"),
    ({"windows": 3}, r"the field windows is unknown \(known: modalities, labels"),
    ({"normalisation": "zscored"}, r"kind: Input should be 'window_zscore'"),
    ({"normalisation": {"CT": "zscore"}}, r"normalisation names no MR"),
    ({"orientation": "RAX"}, r"orientation 'RAX' names no three axes"),
    ({"modalities": ["MR", "CT"]}, r"takes 1 modalities, a\.json names MR, CT; name them all"),
    ({"labels": {"0": "b", "1": "x", "2": "y"}}, r"answers with 2 channels, its card names 3: b, x, y"),
    ({"patch": None}, r"names no patch, and a\.onnx takes windows of any size; add \"patch\""),
    ({"patch": [99999, 99999, 99999]}, r"a window of 99999x99999x99999 voxels is larger than any scan"),
    ({"labels": {"w": [1, 2], "c": 2}, "activation": "softmax"}, r"regions that overlap are no softmax"),
]


@pytest.mark.parametrize(("changes", "told"), CARDS)
def test_cards_are_refused(tmp_path: Path, changes: dict[str, Any], told: str) -> None:
    path = with_card(graph(tmp_path / "a.onnx"), **changes)
    with pytest.raises(UserError, match=told) as refused:
        opened(path)
    assert "\n" not in str(refused.value)


def test_cards_that_do_not_fit(tmp_path: Path) -> None:
    path = graph(tmp_path / "a.onnx", (1, 1, 8, 8, 8))
    with pytest.raises(UserError, match=r"says nothing of modalities, .* no card a\.json or .*; write one"):
        opened(path)
    with pytest.raises(UserError, match=r"takes windows of 8x8x8 voxels, a\.json says 8x8x4"):
        opened(with_card(path, patch=[8, 8, 4]))
    with pytest.raises(UserError, match=r"is 2D, the patch 8x8x8 in b\.json is not; say by a 1"):
        opened(with_card(graph(tmp_path / "b.onnx", ("n", 1, "i", "j"))))
    both = {"spacing_mm": None, "labels": None, "spacing": [2, 2, 2], "classes": ["background", "bright"]}
    assert opened(with_card(path, **both)).heads[1].name == "bright"


class Bright(nn.Module):
    def forward(self, x: Tensor) -> list[Tensor]:
        logits = torch.cat([0.5 - x, x - 0.5], 1)
        return [logits, logits[:, :, ::2, ::2, ::2]]


def test_a_program_needs_trust(tmp_path: Path) -> None:
    path = with_card(tmp_path / "a.ts")
    with warnings.catch_warnings(action="ignore"):
        torch.jit.save(torch.jit.script(Bright()), path)
    digest = content_digest(path.read_bytes())
    told = rf"a\.ts is TorchScript, .*; its SHA-256 is {digest}; .*--trust-model {digest} \(of distil and"
    with pytest.raises(UserError, match=told):
        opened(path)
    with pytest.raises(UserError, match=r"if you trust whoever made it"):
        opened(path, trust=("0" * 64, "b.ts"))
    x = scan()
    for trust in (digest, "a.ts"):
        teacher = opened(path, trust=(trust,))
        assert_bright(teacher, x)
    assert teacher.provenance.warnings == ("a.ts is a program, run because you trust it.",)
    renamed = with_card(path.rename(tmp_path / "b.pt"))
    assert graphs.recognises(renamed)
    torch.save({"weight": torch.zeros(3)}, tmp_path / "c.pt")
    with pytest.raises(UserError, match=r"c\.pt is no TorchScript .*: weights alone do not say what network"):
        opened(tmp_path / "c.pt")
    assert not graphs.recognises(tmp_path / "a.json")
