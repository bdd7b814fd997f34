"""What strangers' files may try: each is refused in one line, and nothing of it is run."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from distilseg.data.scans.scan import Geometry, Scan
from distilseg.errors import UserError
from distilseg.teachers import monai_bundle
from distilseg.teachers.archive import open_files
from distilseg.teachers.checkpoint import read_pickled, state_in
from distilseg.teachers.monai_bundle.config import read_config
from distilseg.teachers.monai_bundle.painting import painting
from distilseg.teachers.teacher import TeacherOptions
from tests.teachers.bundles import ARGMAX, INVERTED, SOFTMAX, UNET, bundle, inference, metadata

MARK = Path(tempfile.gettempdir()) / f"distilseg-ran-{os.getpid()}"  # what all of it tries to make


class Runs:
    """A pickle that makes a folder when it is loaded."""

    def __reduce__(self) -> Any:
        return os.mkdir, (str(MARK),)


class Evaluates:
    def __reduce__(self) -> Any:
        return eval, (f"__import__('os').mkdir('{MARK}')",)


class Nested:
    """A reduce within what another reduce is given."""

    def __reduce__(self) -> Any:
        return dict, ({"inner": Runs()},)


def saved(value: Any) -> bytes:
    file = io.BytesIO()
    torch.save(value, file)
    return file.getvalue()


def zipped(pickled: bytes, **members: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as packed:
        packed.writestr("archive/data.pkl", pickled)
        for name, content in members.items():
            packed.writestr(f"archive/data/{name}", content)
    return file.getvalue()


def tensor_of(shape: tuple[int, ...], stride: tuple[int, ...], count: int = 4) -> bytes:
    """A state dictionary with one tensor that declares what it likes."""

    class Storage:
        pass

    class Pickler(pickle.Pickler):
        def persistent_id(self, value: Any) -> Any:
            return ("storage", torch.FloatStorage, "0", "cpu", count) if isinstance(value, Storage) else None

    class Tensor:
        def __reduce__(self) -> Any:
            return torch._utils._rebuild_tensor_v2, (Storage(), 0, shape, stride, False, {})

    file = io.BytesIO()
    Pickler(file, 2).dump({"weight": Tensor()})
    return zipped(file.getvalue(), **{"0": np.zeros(count, np.float32).tobytes()})


def read(content: bytes) -> Any:
    return state_in(read_pickled(io.BytesIO(content), "model.pt"), "model.pt")


@pytest.fixture(autouse=True)
def _nothing_ran() -> Any:
    before = set(sys.modules)
    yield
    assert not MARK.exists()
    assert not {name for name in set(sys.modules) - before if name.partition(".")[0] == "scripts"}


PICKLES: dict[str, tuple[Callable[[], bytes], str]] = {
    "a function of the system": (
        lambda: saved({"a": Runs()}),
        r"model\.pt asks for posix\.mkdir, which no weights need; nothing was run; do not load it",
    ),
    "eval": (lambda: saved(Evaluates()), r"asks for __builtin__\.eval"),
    "a reduce in a reduce": (lambda: saved([Nested()]), r"asks for (__builtin__\.dict|posix\.mkdir)"),
    "a shape without end": (lambda: tensor_of((10**9, 10**9), (0, 0)), r"does not lie within its storage"),
    "a stride out of it": (lambda: tensor_of((2, 2), (3, 1)), r"does not lie within its storage of 4"),
    "a size below 0": (lambda: tensor_of((-2, 2), (1, 1)), r"a size below 0"),
    "a storage without end": (lambda: _resized(tensor_of((2,), (1,), 4), 10**12), r"storage 0 should have"),
    "half of it": (lambda: saved({"a": torch.zeros(99)})[:700], r"is not whole \(half a download\?\)"),
    "none at all": (lambda: b"", r"is not whole .*it is empty"),
    "text": (lambda: b"hello", r"is no checkpoint of PyTorch"),
    "a bare pickle": (lambda: pickle.dumps({"a": 1}, 2), r"plain pickle, as PyTorch wrote before 1\.6"),
    "a memo without end": (
        lambda: zipped(b"\x80\x02}r" + struct.pack("<I", 2**32 - 1) + b"."),
        r"asks for a memory of 4294967295 objects",
    ),
    "a pickle that ends early": (lambda: zipped(b"\x80\x02}q\x00(X\x01\x00"), r"is damaged"),
    "no weights": (lambda: saved({"a": 1}), r"holds no state dictionary; save `network\.state_dict\(\)`"),
}


def _resized(content: bytes, count: int) -> bytes:
    """The same file with another number in its storage's description."""
    with zipfile.ZipFile(io.BytesIO(content)) as packed:
        pickled, numbers = packed.read("archive/data.pkl"), packed.read("archive/data/0")
    old = pickle.dumps(4, 2)[2:-1]
    new = pickle.dumps(count, 2)[2:-1]
    at = pickled.rindex(b"X\x03\x00\x00\x00cpu")
    at = pickled.index(old, at)
    return zipped(pickled[:at] + new + pickled[at + len(old) :], **{"0": numbers})


@pytest.mark.parametrize("name", PICKLES)
def test_weights_are_refused(name: str) -> None:
    make, told = PICKLES[name]
    with pytest.raises(UserError, match=told) as refused:
        read(make())
    assert "\n" not in str(refused.value)


def _zip(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in members.items():
            packed.writestr(name.replace("__", "/"), content)
    return path


def test_zips_that_lead_out_or_burst_are_refused(tmp_path: Path) -> None:
    for name in ("../evil.pt", "a/../../evil.pt", "/etc/evil.pt", "C:\\evil.pt", "a\\..\\..\\evil.pt"):
        with zipfile.ZipFile(tmp_path / "out.zip", "w") as packed:
            packed.writestr(name, b"x")
        with pytest.raises(UserError, match=r"which leads out of it; no tool makes such a zip"):
            open_files(tmp_path / "out.zip")
    bomb = _zip(tmp_path / "bomb.zip", configs__metadata=bytes(2**28))
    with pytest.raises(UserError, match=r"says it holds 268 MB in a file of 0\.\d MB"):
        open_files(bomb)
    (tmp_path / "cut.zip").write_bytes(bomb.read_bytes()[:-30])
    with pytest.raises(UserError, match=r"cut\.zip is no whole zip"):
        open_files(tmp_path / "cut.zip")


def _opened(path: Path, **options: Any) -> Any:
    return monai_bundle.open_as_teacher(path, TeacherOptions(device="cpu", **options))


RUN = f"$__import__('os').mkdir('{MARK}')"


def image(target: str, **more: Any) -> dict[str, Any]:
    return {"_target_": target, "keys": "image", **more}


CONFIGS: dict[str, tuple[dict[str, Any], str]] = {
    "an expression for a number": (
        inference() | {"network_def": UNET | {"in_channels": RUN}},
        r"inference\.json: network_def::in_channels is the expression .*; let MONAI run it, and give",
    ),
    "an expression for a network": (
        inference() | {"network_def": RUN},
        r"network_def is the expression .\$__import__.* and reading it would run that",
    ),
    "an expression behind a reference": (
        inference(inferer={"_target_": "SlidingWindowInferer", "roi_size": "@evil"}, evil=RUN),
        r"evil is the expression",
    ),
    "an expression for transforms": (
        inference() | {"preprocessing": RUN},
        r"preprocessing is the expression",
    ),
    "an expression as a transform": (
        inference(preprocessing=[RUN]),  # type: ignore[list-item]
        r"transforms::2 is the expression",
    ),
    "a function to select": (
        inference(preprocessing=[image("CropForegroundd", source_key="image", select_fn="$lambda x: x > 9")]),
        r"select_fn is the expression '\$lambda x: x > 9'",
    ),
    "a function afterwards": (
        inference(postprocessing=[SOFTMAX, INVERTED | {"post_func": RUN}, ARGMAX]),
        r"post_func is the expression",
    ),
    "text of another file": (
        inference() | {"network_def": "%../secret.json::network"},
        r"network_def is the macro '%\.\./secret\.json::network'; write what it stands for",
    ),
    "a circle": (
        inference(a="@b", b="@c", c="@a") | {"network_def": UNET | {"norm": "@a"}},
        r"refers to itself, by a -> b -> c -> a; repair it",
    ),
    "itself": (inference() | {"network_def": "@network_def"}, r"network_def refers to itself"),
    "nowhere": (
        inference() | {"network_def": UNET | {"norm": "@not::there"}},
        r"has no entry 'not', and refers to it; repair the bundle",
    ),
    "a script of its own": (
        inference() | {"network_def": {"_target_": "scripts.networks.MyNet"}},
        r"network_def is scripts\.networks\.MyNet, a script and no part of MONAI; let MONAI run it",
    ),
    "any function": (
        inference() | {"network_def": {"_target_": "os.system", "command": "true"}},
        r"network_def is os\.system, a script and no part of MONAI",
    ),
    "a class that is no network": (
        inference() | {"network_def": {"_target_": "monai.bundle.scripts.run"}},
        r"network_def is a run, which is not among the networks that are built here; known: AHNet,",
    ),
    "a network that is not built": (
        inference() | {"network_def": {"_target_": "DiNTS"}},
        r"network_def is a DiNTS, which is not among .*; else let MONAI run it",
    ),
    "an argument that is none": (
        inference() | {"network_def": UNET | {"levels": 3}},
        r"UNet has no argument 'levels'; known: spatial_dims, in_channels",
    ),
    "a component for a number": (
        inference() | {"network_def": UNET | {"norm": {"_target_": "torch.hub.load"}}},
        r"network_def::norm is torch\.hub\.load, a script and no part of MONAI",
    ),
    "channels without end": (
        inference() | {"network_def": UNET | {"channels": [4, 10**9]}},
        r"channels is 1000000000, and no network is that large",
    ),
    "a network beyond its weights": (
        inference() | {"network_def": UNET | {"channels": [30000, 30000]}},
        r"UNet would be far larger than its weights, .*; do its description and its weights belong together",
    ),
    "layers without end": (
        inference() | {"network_def": UNET | {"num_res_units": 900000}},
        r"UNet would be far larger than its weights",
    ),
    "arguments that make no network": (
        inference() | {"network_def": UNET | {"strides": []}},
        r"UNet cannot be made of these arguments",
    ),
    "a mode": (
        inference() | {"network_def": UNET | {"_mode_": "debug"}},
        r"UNet is asked for in the mode 'debug'",
    ),
    "an unknown transform": (
        inference(preprocessing=[image("Resized", spatial_size=[9, 9, 9])]),
        r"transforms::2 is a Resized, which is not read here; let MONAI run it, and give its answers as",
    ),
    "an unknown argument": (
        inference(preprocessing=[image("ScaleIntensityd", gamma=2)]),
        r"ScaleIntensityd has the argument 'gamma', which is not known here",
    ),
    "a range that is none": (
        inference(preprocessing=[image("ScaleIntensityRanged", a_min=3, a_max=3)]),
        r"a range from 3 to 3 is none",
    ),
    "a spacing that is none": (
        inference(preprocessing=[image("Spacingd", pixdim="fine")]),
        r"pixdim 'fine' is no number",
    ),
    "axes that are none": (
        inference(preprocessing=[image("Orientationd", axcodes="RAX")]),
        r"axcodes 'RAX' name no three axes",
    ),
    "percentiles that are none": (
        inference(
            preprocessing=[image("ScaleIntensityRangePercentilesd", lower=-5, upper=99, b_min=0, b_max=1)]
        ),
        r"percentiles from -5 to 99; repair the bundle",
    ),
    "a channel that is turned": (
        inference(preprocessing=[image("SplitDimd", dim=0), image("Orientationd", axcodes="RAS")]),
        r"transforms::3 is a Orientationd of a channel, which is not read here",
    ),
    "a channel of something else": (
        inference(preprocessing=[image("SplitDimd"), {"_target_": "ScaleIntensityd", "keys": "label_0"}]),
        r"changes 'label_0', and no channel of the image",
    ),
    "an axis that comes apart": (
        inference(preprocessing=[image("SplitDimd", dim=1)]),
        r"SplitDimd with dim is not read here",
    ),
    "other images put together": (
        inference(preprocessing=[{"_target_": "ConcatItemsd", "keys": ["a", "b"], "name": "image"}]),
        r"puts \['a', 'b'\] together, not the image's channels",
    ),
    "labels that are none": (
        inference(
            postprocessing=[
                ARGMAX,
                {
                    "_target_": "MapLabelValued",
                    "keys": "pred",
                    "orig_labels": ["a"],
                    "target_labels": [1],
                },
            ]
        ),
        r"\['a'\] and \[1\] are no labels",
    ),
    "fewer paints than regions": (
        inference(
            postprocessing=[
                {"_target_": "Activationsd", "keys": "pred", "sigmoid": True},
                {"_target_": "Lambdad", "keys": "pred", "func": painting([1, 2])},
            ]
        ),
        r"its postprocessing paints 2 regions, the metadata names 3",
    ),
    "an unknown inferer": (
        inference(inferer={"_target_": "SaliencyInferer"}),
        r"inferer is a SaliencyInferer, which is not read here",
    ),
    "a window without end": (
        inference(inferer={"_target_": "SlidingWindowInferer", "roi_size": [10**6] * 3}),
        r"a window of \[1000000, 1000000, 1000000\] voxels is larger than any scan",
    ),
    "a window of nothing": (
        inference(inferer={"_target_": "SlidingWindowInferer", "roi_size": [0, 4, 4]}),
        r"roi_size \[0, 4, 4\] is no window",
    ),
    "windows that stand still": (
        inference(inferer={"_target_": "SlidingWindowInferer", "roi_size": [8] * 3, "overlap": 1}),
        r"windows cannot overlap by 1; give a share",
    ),
    "code that relabels": (
        inference(postprocessing=[SOFTMAX, ARGMAX, {"_target_": "Lambdad", "keys": "pred", "func": RUN}]),
        r"transforms::2 is a Lambdad, code of the bundle's own; .* leave it out: skip=Lambdad",
    ),
    "neither classes nor regions": (
        inference(postprocessing=[INVERTED]),
        r"does not say whether classes exclude one another",
    ),
    "an nnU-Net within": (
        inference(wrapped={"_target_": "monai.apps.nnunet.ModelnnUNetWrapper"}),
        r"wraps a model of nnU-Net; give the nnU-Net folder within it",
    ),
    "no inferer": (
        {k: v for k, v in inference().items() if k != "inferer"},
        r"has no inferer \(inferer\); is it a bundle that predicts",
    ),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CONFIGS)
def test_configurations_are_refused(tmp_path: Path, name: str) -> None:
    config, told = CONFIGS[name]
    path = bundle(tmp_path / "bundle")
    (path / "configs" / "inference.json").write_text(json.dumps(config))
    (path / "scripts").mkdir()
    (path / "scripts" / "__init__.py").write_text(f"import os\nos.mkdir('{MARK}')\n")
    with pytest.raises(UserError, match=told) as refused:
        _opened(path)
    assert "\n" not in str(refused.value)


def test_what_is_not_needed_may_be_anything_and_is_not_run(tmp_path: Path) -> None:
    """Expressions stand in every bundle of the zoo: for devices, file lists, events, the run itself."""
    config = inference(
        imports=[RUN],
        initialize=[RUN],
        run=[RUN],
        dataset={"_target_": "scripts.data.Mine", "data": RUN},
        evaluator={"_target_": "SupervisedEvaluator", "val_handlers": [RUN]},
    )
    path = bundle(tmp_path / "bundle", config)
    assert _opened(path).name == "bundle"


def test_a_relabelling_can_be_left_out(tmp_path: Path) -> None:
    relabels = {"_target_": "Lambdad", "keys": "pred", "func": RUN}
    path = bundle(tmp_path / "bundle", inference(postprocessing=[SOFTMAX, INVERTED, ARGMAX, relabels]))
    without = _opened(path, extra={"skip": "Lambdad"})
    assert len(without.post.steps) == 3
    assert without.digest != _opened(path, extra={"skip": "Lambdad,Invertd"}).digest


def test_files_that_are_no_configuration(tmp_path: Path) -> None:
    deep = b"[" * 100_000
    for content, name, told in (
        (b"{]", "a.json", r"a\.json is not valid JSON \(line 1"),
        (b'{"a": ' + deep, "a.json", r"a\.json is nested too deep"),
        (b"[1]", "a.json", r"a\.json holds a list, an object was expected"),
        (b"\xff\xfe\x00", "a.json", r"a\.json is no text"),
        (b"a: !!python/object/apply:os.system ['true']", "a.yaml", r"not valid YAML, or more than data"),
        (b"a: &x [*x, *x]\n: [", "a.yaml", r"not valid YAML"),
        (b" " * (2**22 + 1), "a.json", r"a configuration has at most"),
    ):
        with pytest.raises(UserError, match=told) as refused:
            read_config(content, name)
        assert "\n" not in str(refused.value)


def test_references_without_end_are_refused() -> None:
    laughs = {"a0": ["lol"] * 10, **{f"a{n}": [f"@a{n - 1}"] * 10 for n in range(1, 10)}}
    with pytest.raises(UserError, match=r"refers to more than 100,000 entries"):
        read_config(json.dumps(laughs).encode(), "c.json")["a9"].plain()
    nested: Any = 1
    for _ in range(80):
        nested = [nested]
    with pytest.raises(UserError, match=r"nested more than 64 levels deep"):
        read_config(json.dumps({"a": nested}).encode(), "c.json")["a"].plain()
    with pytest.raises(UserError, match=r"nested more than 64 levels deep"):
        read_config(b"a: &x [*x]", "c.yaml")["a"].plain()


def test_references_lead_where_monai_s_do() -> None:
    values = {"a": {"b": [1, {"c": 7}], "d": "@::b", "e": {"f": "@::::b::1::c"}}, "g": "@a#b#0"}
    config = read_config(json.dumps(values).encode(), "c.json")
    assert config["g"].plain() == 1
    assert config["a"].plain() == {"b": [1, {"c": 7}], "d": [1, {"c": 7}], "e": {"f": 7}}


def test_weights_of_another_network(tmp_path: Path) -> None:
    path = bundle(tmp_path / "bundle")
    model = path / "models" / "model.pt"
    good = torch.load(model, weights_only=True)
    first = next(iter(good))
    for state, told in (
        ({k: v for k, v in good.items() if k != first}, rf"model\.pt lacks {first} of UNet; are they"),
        (good | {first: torch.zeros(2)}, rf"{first} is \[2\], UNet has \[4, 1, 3, 3, 3\]; do its"),
        (good | {"more": torch.zeros(2)}, r"has more, which UNet has not"),
        (good | {first: torch.full_like(good[first], torch.nan)}, rf"{first} holds NaN or infinite numbers"),
    ):
        torch.save(state, model)
        with pytest.raises(UserError, match=told):
            _opened(path)
    parallel = {f"module.{name}": tensor for name, tensor in good.items()}
    for state in ({"model": good}, {"state_dict": good, "epoch": 3}, parallel):
        torch.save(state, model)
        _opened(path)


def test_weights_that_are_not_here(tmp_path: Path) -> None:
    path = bundle(tmp_path / "bundle")
    model = path / "models" / "model.pt"
    model.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    with pytest.raises(UserError, match=r"model\.pt is a pointer of Git LFS, not the weights; download"):
        _opened(path)
    model.unlink()
    with pytest.raises(UserError, match=r"holds no weights \(models/model\.pt\); download the whole bundle"):
        _opened(path)
    (path / "large_files.yml").write_text(
        "large_files:\n- path: models/model.pt\n  url: https://zoo/model.pt\n"
    )
    with pytest.raises(
        UserError, match=r"large_files\.yml says where they are; download them: https://zoo/mod"
    ):
        _opened(path)
    (path / "configs" / "metadata.json").rename(path / "metadata.json")
    assert monai_bundle.recognises(path)
    with pytest.raises(UserError, match=r"has no configs/metadata\.json, which names images and classes"):
        _opened(path)
    (path / "metadata.json").rename(path / "configs" / "metadata.json")
    for name in ("a.pt", "b.pt"):
        (path / "models" / name).write_bytes(b"")
    with pytest.raises(UserError, match=r"holds several weights: models/a\.pt, models/b\.pt; keep one"):
        _opened(path)


@pytest.mark.parametrize(
    ("about", "told"),
    [
        ({"name": "x"}, r"does not describe its inputs \(network_data_format\)"),
        (metadata(names=("background",)), r"names a single class under a softmax"),
        (
            metadata(names=("background", "a")),
            r"has 3 out_channels, configs/metadata\.json names background, a;",
        ),
        (
            metadata(images=("T1", "T2")),
            r"has 1 in_channels, configs/metadata\.json names T1, T2; do they",
        ),
        (metadata(images=("T1", "T1")), r"names its images \['T1', 'T1'\]; name each differently"),
    ],
)
def test_descriptions_that_are_not_enough(tmp_path: Path, about: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=told):
        _opened(bundle(tmp_path / "bundle", about=about))


def test_several_configurations_are_asked_for(tmp_path: Path) -> None:
    path = bundle(tmp_path / "bundle")
    configs = path / "configs"
    for name in ("inference_a.json", "inference_b.json"):
        (configs / name).write_text((configs / "inference.json").read_text())
    (configs / "inference.json").unlink()
    with pytest.raises(UserError, match=r"no configs/inference\.json, but inference_a, inference_b, meta"):
        _opened(path)
    assert _opened(path, configuration="inference_b").name == "bundle"
    with pytest.raises(UserError, match=r"no configuration 'c'; known: inference_a, inference_b, metadata"):
        _opened(path, configuration="c")


def test_no_evaluator_is_ever_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither Python's nor MONAI's, from opening a bundle to its label map; nor is its folder searched for
    modules."""
    import builtins

    from monai.bundle import ConfigParser

    path = bundle(tmp_path / "bundle", inference(run=[RUN], device=RUN))
    array = np.random.default_rng(0).random((9, 8, 7)).astype(np.float32)
    scans = {"MR": Scan(array, Geometry(array.shape, np.eye(4)), Path("scan.nii.gz"))}
    teacher = _opened(path)
    expected = teacher.labels(teacher.answer(scans, case="a"), scans)  # all of MONAI's modules are here now

    def never(*arguments: Any, **options: Any) -> Any:
        raise AssertionError(f"evaluated {arguments}")

    for where, name in ((builtins, "eval"), (builtins, "exec"), (ConfigParser, "parse"), (pickle, "load")):
        monkeypatch.setattr(where, name, never)
    monkeypatch.setattr(torch, "load", never)
    teacher = _opened(path)
    np.testing.assert_array_equal(teacher.labels(teacher.answer(scans, case="a"), scans), expected)
    assert str(path) not in sys.path
