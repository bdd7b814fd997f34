"""Checkpoints are data: what is read is equal to what was written, and nothing in a file is ever run."""

from __future__ import annotations

import io
import os
import pickle
import subprocess
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from distilseg.errors import UserError
from distilseg.teachers.checkpoint import Inert, Stored, read_pickled


def read(path: Path) -> Any:
    """The value, its tensors read."""
    with path.open("rb") as file:
        return _read(read_pickled(file, path.name))


def _read(value: Any) -> Any:
    if isinstance(value, Stored):
        return value.read()
    return {key: _read(inner) for key, inner in value.items()} if isinstance(value, dict) else value


def test_every_kind_of_number_is_read(tmp_path: Path) -> None:
    whole = torch.randn(4, 6)
    tensors = {
        "float": whole,
        "half": whole.half(),
        "bfloat16": whole.bfloat16(),
        "double": whole.double(),
        "long": torch.arange(5),
        "bool": whole > 0,
        "scalar": torch.tensor(3.5),
        "empty": torch.zeros(0, 3),
        "view": whole[1:, ::2],
        "transposed": whole.T,
        "parameter": torch.nn.Parameter(whole),
    }
    torch.save(tensors, tmp_path / "a.pth")
    for name, found in read(tmp_path / "a.pth").items():
        expected = tensors[name].detach()
        expected = expected.float() if expected.is_floating_point() else expected
        assert np.array_equal(found, expected.numpy()), name
        assert found.dtype == expected.numpy().dtype, name


def test_what_a_training_logs_is_passed_over(tmp_path: Path) -> None:
    logged = {
        "best": np.float64(0.75),
        "losses": [np.float32(0.5)],
        "array": np.arange(3),
        "device": torch.device("cpu"),
        "fold": 0,
        "weights": OrderedDict(a=torch.ones(2)),
    }
    torch.save(logged, tmp_path / "a.pth")
    found = read(tmp_path / "a.pth")
    assert isinstance(found["best"], Inert)
    assert found["fold"] == 0
    assert found["weights"]["a"].tolist() == [1, 1]


def test_another_byte_order(tmp_path: Path) -> None:
    torch.save({"a": torch.arange(3.0)}, tmp_path / "a.pth")

    def turned(name: str, content: bytes) -> bytes:
        if name.endswith("byteorder"):
            return b"big"
        return np.frombuffer(content, "<f4").astype(">f4").tobytes() if name.endswith("data/0") else content

    _rewrite(tmp_path / "a.pth", turned)
    assert read(tmp_path / "a.pth")["a"].tolist() == [0, 1, 2]


def test_a_tensor_that_nobody_asks_for_is_not_read(tmp_path: Path) -> None:
    torch.save({"weights": torch.ones(3), "optimizer": torch.ones(4)}, tmp_path / "a.pth")
    content = bytearray((tmp_path / "a.pth").read_bytes())
    with zipfile.ZipFile(tmp_path / "a.pth") as archive:
        info = archive.getinfo("a/data/1")
    at = content.index(np.ones(4, np.float32).tobytes(), info.header_offset)
    content[at] ^= 1
    (tmp_path / "a.pth").write_bytes(content)
    with (tmp_path / "a.pth").open("rb") as file:
        found = read_pickled(file, "a.pth")
        assert found["weights"].read().tolist() == [1, 1, 1]
        with pytest.raises(UserError, match=r"a\.pth is damaged \(Bad CRC-32"):
            found["optimizer"].read()


class Runs:
    """A pickle that calls `function` when it is loaded."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.called = function, arguments

    def __reduce__(self) -> Any:
        return self.called


@pytest.mark.parametrize(
    ("hostile", "named"),
    [
        (Runs(os.system, "touch hacked"), rf"{os.name}\.system"),
        (Runs(eval, "open('hacked', 'w')"), r"__builtin__\.eval"),
        (Runs(getattr, "", "join"), r"__builtin__\.getattr"),
        ({"network_weights": [Runs(pickle.loads, b"")]}, r"_?pickle\.loads"),
        (Runs(torch.load, "x"), r"torch\.serialization\.load"),
        (torch.nn.Linear(1, 1), r"torch\.nn\.modules\.linear\.Linear"),
    ],
)
def test_other_names_are_refused(
    hostile: Any, named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save(hostile, "a.pth")
    with pytest.raises(UserError, match=rf"^a\.pth asks for {named}, .*nothing was run"):
        read(Path("a.pth"))
    assert not Path("hacked").exists()


class Rebuilt:
    """A tensor whose description is written by hand."""

    def __init__(self, offset: Any, shape: Any, strides: Any) -> None:
        self.written = offset, shape, strides

    def __reduce__(self) -> Any:
        offset, shape, strides = self.written
        return torch._utils._rebuild_tensor_v2, (_STORAGE, offset, shape, strides, False, OrderedDict())


class _Marker:
    pass


_STORAGE = _Marker()


def _handmade(path: Path, value: Any, *, count: Any = 6, held: int = 24) -> None:
    class Pickler(pickle.Pickler):
        def persistent_id(self, found: Any) -> Any:
            return ("storage", torch.FloatStorage, "0", "cpu", count) if found is _STORAGE else None

    content = io.BytesIO()
    Pickler(content, 2).dump(value)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/data.pkl", content.getvalue())
        archive.writestr("a/data/0", np.arange(held // 4, dtype=np.float32).tobytes())


def test_a_tensor_by_hand(tmp_path: Path) -> None:
    _handmade(tmp_path / "a.pth", {"w": Rebuilt(1, (2, 2), (1, 2))})
    assert read(tmp_path / "a.pth")["w"].tolist() == [[1, 3], [2, 4]]


@pytest.mark.parametrize(
    ("written", "storage", "words"),
    [
        ((0, (2, 4), (4, 1)), {}, "does not lie within its storage of 6 numbers"),
        ((5, (2,), (1,)), {}, "does not lie within"),
        ((0, (2,), (10**9,)), {}, "does not lie within"),
        ((0, (10**12,), (0,)), {}, "does not lie within"),
        ((-1, (2,), (1,)), {}, "a size below 0"),
        ((0, (-2, -1), (1, 1)), {}, "a size below 0"),
        ((0, (2,), (-1,)), {}, "a size below 0"),
        ((0, (2, 2), (1,)), {}, "a size below 0, or no size"),
        ((0, ("2",), (1,)), {}, "a size below 0"),
        ((0, (6,), (1,)), {"count": 10**15}, "should have 1000000000000000 numbers"),
        ((0, (6,), (1,)), {"count": -5}, "should have -5 numbers"),
        ((0, (6,), (1,)), {"held": 20}, "the file holds 20 bytes"),
        ((0, (6,), (1,)), {"count": "6"}, "is damaged"),
    ],
)
def test_tensors_lie_in_the_file(written: Any, storage: Any, words: str, tmp_path: Path) -> None:
    _handmade(tmp_path / "a.pth", {"w": Rebuilt(*written)}, **storage)
    with pytest.raises(UserError, match=words):
        read(tmp_path / "a.pth")


def test_half_a_file(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    torch.save({"w": torch.ones(1000)}, path)
    content = path.read_bytes()
    for kept in (len(content) // 2, len(content) - 10, 100, 0):
        path.write_bytes(content[:kept])
        with pytest.raises(UserError, match=r"a\.pth is not whole \(half a download\?\).*again"):
            read(path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\x80\x02}q\x00.", "a plain pickle"),
        (b"<html>not found</html>", "is no checkpoint of PyTorch"),
    ],
)
def test_other_files(content: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / "a.pth").write_bytes(content)
    with pytest.raises(UserError, match=words):
        read(tmp_path / "a.pth")


def test_other_archives(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.pth", "w") as archive:
        archive.writestr("a/readme.txt", "hello")
    with pytest.raises(UserError, match=r"holds no data\.pkl"):
        read(tmp_path / "a.pth")
    with zipfile.ZipFile(tmp_path / "b.pth", "w") as archive:
        archive.writestr("b/data.pkl", pickle.dumps({}, 2))
        archive.writestr("b/code/__torch__.py", "class Net: ...")
    with pytest.raises(UserError, match="is a TorchScript program"):
        read(tmp_path / "b.pth")


def test_bombs(tmp_path: Path) -> None:
    """Neither kilobytes that unpack to gigabytes, nor a pickle that asks for memory without bytes for it."""
    _handmade(tmp_path / "a.pth", {"w": Rebuilt(0, (6,), (1,))})
    with zipfile.ZipFile(tmp_path / "b.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        with zipfile.ZipFile(tmp_path / "a.pth") as one:
            archive.writestr("a/data.pkl", one.read("a/data.pkl"))
        archive.writestr("a/data/0", bytes(2**24))
    with pytest.raises(UserError, match=r"unpacks to \d+ times its size"):
        read(tmp_path / "b.pth")
    with zipfile.ZipFile(tmp_path / "c.pth", "w") as archive:
        archive.writestr("c/data.pkl", b"\x80\x02}r\xff\xff\xff\x7f.")  # stores an object as number 2**31 - 1
    with pytest.raises(UserError, match="asks for a memory of 2147483647 objects"):
        read(tmp_path / "c.pth")
    with zipfile.ZipFile(tmp_path / "d.pth", "w") as archive:
        archive.writestr("d/data.pkl", b"\x80\x05\x96" + (2**40).to_bytes(8, "little") + b".")
    with pytest.raises(UserError, match=r"d\.pth"):
        read(tmp_path / "d.pth")


def test_damage_anywhere_is_told(tmp_path: Path) -> None:
    """Any byte of the description changed: read, or refused in one line."""
    torch.save({"w": torch.ones(3), "list": [1, 2.5, "x"]}, tmp_path / "a.pth")
    with zipfile.ZipFile(tmp_path / "a.pth") as archive:
        whole = archive.read("a/data.pkl")
    generator = np.random.default_rng(0)
    for at in range(len(whole)):
        content = bytearray(whole)
        content[at] = generator.integers(256)
        _rewrite(
            tmp_path / "a.pth",
            lambda name, old, new=bytes(content): new if name.endswith("data.pkl") else old,
            to=tmp_path / "b.pth",
        )
        said = ""
        try:
            read(tmp_path / "b.pth")
        except UserError as error:
            said = str(error)
        assert said == "" or ("b.pth" in said and "\n" not in said), said


def test_it_needs_no_torch(tmp_path: Path) -> None:
    torch.save({"w": torch.ones(3)}, tmp_path / "a.pth")
    program = (
        "import sys; sys.modules['torch'] = None\n"
        "from distilseg.teachers.checkpoint import read_pickled\n"
        f"with open({str(tmp_path / 'a.pth')!r}, 'rb') as file:\n"
        "    print(read_pickled(file, 'a')['w'].read().sum())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "3.0"


def _rewrite(path: Path, change: Callable[[str, bytes], bytes], to: Path | None = None) -> None:
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(to or path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, change(name, content))
