"""A file that `torch.save` wrote, read as data: nothing in it is called, and torch is not needed.

The file is a zip archive: a pickle (`<stem>/data.pkl`) that describes tensors, and their bytes
(`<stem>/data/<key>`). A pickle is a program; here it may name what the table below holds and nothing else,
and even those names stand for objects that do nothing. Sizes are checked against the archive before anything
is read, and a tensor's bytes are read when they are asked for: what a training kept for itself never is.

read_pickled     the value, tensors as `Stored` descriptions
Stored           one tensor: shape, type, where its bytes lie; `read` gives the numbers
state_in         the tensors of a state dictionary, or of TorchScript's modules, by name
is_torchscript   whether a file holds a program; that is never read here, its weights can be
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import UserError

Array = NDArray[Any]

_MOST_PICKLE = 2**26  # bytes; a real one has 0.1 to 5 MB
_MOST_RATIO = 200  # of a compressed member; numbers do not get a tenth of that

# Storage class -> bytes of one number, and how NumPy calls it; bfloat16 is the upper half of a float32.
_STORAGES: Mapping[str, str] = {
    "DoubleStorage": "f8",
    "FloatStorage": "f4",
    "HalfStorage": "f2",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "i8",
    "IntStorage": "i4",
    "ShortStorage": "i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
}

# What trainings log beside their weights: numbers of NumPy, devices. They become `Inert`.
_INERT = {
    *(
        f"{module}.multiarray.{name}"
        for module in ("numpy.core", "numpy._core")
        for name in ("scalar", "_reconstruct")
    ),
    "numpy.core.numeric._frombuffer",
    "numpy._core.numeric._frombuffer",
    "numpy.dtype",
    "numpy.ndarray",
    *(f"numpy.dtypes.{kind}DType" for kind in ("Float64", "Float32", "Float16", "Int64", "Int32", "Bool")),
    "_codecs.encode",
    "torch.device",
    "torch.Size",
    *(f"torch.{kind}" for kind in ("float32", "float16", "bfloat16", "float64", "int64", "int32")),
}

# Operations that lead outside what the pickle itself holds, or ask for memory before there are bytes for it.
_REFUSED_OPERATIONS = {
    *("PERSID", "INST", "OBJ", "EXT1", "EXT2", "EXT4", "NEXT_BUFFER", "READONLY_BUFFER", "BYTEARRAY8"),
}


class Inert:
    """Stands for an object of no interest: takes any arguments and any state, and does nothing."""

    def __init__(self, *arguments: object, **options: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass


class Module:
    """Stands for a module of TorchScript: its parameters, buffers and inner modules by name."""

    def __init__(self) -> None:
        self.attributes: Mapping[str, Any] = {}

    def __setstate__(self, state: object) -> None:
        self.attributes = state if isinstance(state, dict) else {}


class _Ordered(dict[Any, Any]):
    """A dictionary without the attributes that a pickle may give it."""

    def __setstate__(self, state: object) -> None:
        pass


@dataclass(frozen=True)
class _Storage:
    """A run of numbers in the archive."""

    archive: _Archive
    key: str
    kind: str
    count: int


@dataclass(frozen=True)
class Stored:
    """A tensor in the file."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]  # in numbers

    def read(self) -> Array:
        """The numbers: floats of any width as float32, integers as they are."""
        flat = self.storage.archive.numbers(self.storage)
        size = flat.itemsize
        view = np.lib.stride_tricks.as_strided(
            flat[self.offset :], self.shape, tuple(step * size for step in self.strides), writeable=False
        )
        if self.storage.kind == "bfloat16":
            return (view.astype(np.uint32) << 16).view(np.float32)
        kind = np.float32 if view.dtype.kind == "f" else view.dtype.newbyteorder("=")
        return view.astype(kind, order="C")


def read_pickled(file: IO[bytes], name: str, *, program: bool = False) -> Any:
    """The value in an open file, which must stay open while its tensors are read; `name` is for errors.

    `program`: a TorchScript file is taken too, as the `Module` that its pickle describes.

    Raises `UserError` for a file that is cut short or damaged, that is none of torch's, that names anything
    else than tensors and plain values, or whose tensors do not lie in it.
    """
    archive = _Archive(file, name, program)
    try:
        return archive.value()
    except UserError:
        raise
    except (pickle.UnpicklingError, *_DAMAGE) as error:
        raise archive.damaged(error) from None


def is_torchscript(file: IO[bytes] | Path) -> bool:
    """Whether it holds a program beside its weights: a member <root>/code/."""
    try:
        with zipfile.ZipFile(file) as packed:
            return any(member.partition("/")[2].startswith("code/") for member in packed.namelist())
    except _DAMAGE:
        return False


def state_in(value: Any, name: str, keys: Sequence[str] = ()) -> dict[str, Stored]:
    """The tensors of a state dictionary by name: of the value itself, or of what it holds under one of
    `keys`, "state_dict" or "model"; or of a `Module`, by its attributes. Raises `UserError` where there is
    none.

    The prefixes of networks that were trained on several GPUs, or compiled, are taken off.
    """
    if isinstance(value, Module):
        state = dict(_attributes(value, "", set()))
    else:
        held = (value.get(key) for key in (*keys, "state_dict", "model") if isinstance(value, dict))
        inner = next((one for one in held if isinstance(one, dict)), value)
        state = inner if isinstance(inner, dict) else {}
    if not state or not all(isinstance(one, Stored) for one in state.values()):
        raise UserError(f"{name} holds no state dictionary", "save `network.state_dict()` alone")
    for prefix in ("module.", "_orig_mod."):
        if all(str(key).startswith(prefix) for key in state):
            state = {str(key).removeprefix(prefix): tensor for key, tensor in state.items()}
    return {str(key): tensor for key, tensor in state.items()}


def _attributes(module: Module, prefix: str, seen: set[int]) -> Iterator[tuple[str, Stored]]:
    if id(module) in seen:
        return
    seen.add(id(module))
    for name, value in module.attributes.items():
        if isinstance(value, Stored):
            yield f"{prefix}{name}", value
        elif isinstance(value, Module):
            yield from _attributes(value, f"{prefix}{name}.", seen)


# What bytes that were changed make of the readers of pickles and zips.
_DAMAGE = (
    *(ValueError, TypeError, KeyError, IndexError, AttributeError, EOFError, OverflowError),
    *(RecursionError, MemoryError, NotImplementedError, UnicodeDecodeError, RuntimeError),
    *(zipfile.BadZipFile, OSError),
)


class _Archive:
    """The zip archive around the pickle."""

    def __init__(self, file: IO[bytes], name: str, program: bool = False) -> None:
        self.name, self.program = name, program
        file.seek(0)
        start = file.read(4)
        try:
            self.zip = zipfile.ZipFile(file)
            members = {info.filename: info for info in self.zip.infolist()}
        except _DAMAGE:
            raise self._no_archive(start) from None
        self.members = members
        (self.root, *others) = [
            member.removesuffix("data.pkl")
            for member in members
            if member.endswith("data.pkl") and member.count("/") <= 1
        ] or [""]
        if f"{self.root}data.pkl" not in members or others:
            raise UserError(
                f"{name} is a zip archive, but no checkpoint of PyTorch (it holds no data.pkl)",
                "give a file that `torch.save` wrote, or unpack the archive",
            )
        if not program and any(member.startswith(f"{self.root}code/") for member in members):
            raise UserError(
                f"{name} is a TorchScript program, not a checkpoint: it can only be run",
                "give the weights that it was made of",
            )
        order = self._read(f"{self.root}byteorder", 16) if f"{self.root}byteorder" in members else b"little"
        self.order: Literal["<", ">"] = ">" if order.strip() == b"big" else "<"

    def value(self) -> Any:
        """The unpickled value."""
        content = self._read(f"{self.root}data.pkl", _MOST_PICKLE)
        self._check_operations(content)
        return _Unpickler(content, self).load()

    def numbers(self, storage: _Storage) -> Array:
        """All numbers of a storage, [n]; bfloat16 as 16-bit integers."""
        kind = "u2" if storage.kind == "bfloat16" else storage.kind
        dtype = np.dtype(kind).newbyteorder(self.order)
        try:
            content = self._read(self._member(storage.key), storage.count * dtype.itemsize)
        except _DAMAGE as error:
            raise self.damaged(error) from None
        return np.frombuffer(content, dtype, storage.count)

    def storage(self, key: object, kind: object, count: object) -> _Storage:
        """The description of a storage, checked against the archive."""
        if type(key) is not str or type(kind) is not str or type(count) is not int:
            raise ValueError("a storage that is none")
        info = self.members.get(self._member(key))
        if info is None:
            raise UserError(f"{self.name} lacks the numbers of storage {key}", _AGAIN)
        width = 2 if kind == "bfloat16" else np.dtype(kind).itemsize
        if count < 0 or count * width > info.file_size:
            raise UserError(
                f"{self.name}: storage {key} should have {count} numbers of {width} bytes, the file holds"
                f" {info.file_size} bytes of it",
                _AGAIN,
            )
        return _Storage(self, key, kind, count)

    def tensor(self, storage: object, offset: object, shape: object, strides: object) -> Stored:
        """The description of a tensor, checked to lie within its storage."""
        counts = (*shape, *strides, offset) if isinstance(shape, tuple) and isinstance(strides, tuple) else ()
        if (
            not isinstance(storage, _Storage)
            or not counts
            or any(type(n) is not int or n < 0 for n in counts)
            or len(shape) != len(strides)  # type: ignore[arg-type]
        ):
            raise UserError(f"{self.name} describes a tensor with a size below 0, or no size", _AGAIN)
        made = Stored(storage, int(offset), tuple(shape), tuple(strides))  # type: ignore[arg-type, call-overload]
        last = made.offset + sum((n - 1) * step for n, step in zip(made.shape, made.strides, strict=True))
        voxels = math.prod(made.shape)
        if voxels > storage.count or (voxels and last >= storage.count):
            raise UserError(
                f"{self.name}: a tensor of {list(made.shape)} from {made.offset} on with steps of"
                f" {list(made.strides)} does not lie within its storage of {storage.count} numbers",
                _AGAIN,
            )
        return made

    def damaged(self, error: BaseException) -> UserError:
        """What is said of bytes that make no sense."""
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        return UserError(f"{self.name} is damaged ({reason})", _AGAIN)

    def _member(self, key: str) -> str:
        return f"{self.root}data/{key}"

    def _read(self, member: str, most: int) -> bytes:
        """A member's first `most` bytes at most; more than `most` in the pickle is refused."""
        info = self.members[member]
        if member.endswith("data.pkl") and info.file_size > most:
            raise UserError(
                f"{self.name}: its description of tensors has {info.file_size:,} bytes, {most:,} are read",
                "weights have a few megabytes of it: are these weights?",
            )
        if info.compress_type != zipfile.ZIP_STORED and info.file_size > _MOST_RATIO * max(
            info.compress_size, 1000
        ):
            raise UserError(
                f"{self.name}: {member} unpacks to {info.file_size / max(info.compress_size, 1):.0f} times"
                " its size",
                "no weights do; get the file from its author again",
            )
        with self.zip.open(info) as opened:
            content = opened.read(most)
            if len(content) == info.file_size:
                opened.read(1)  # at its end the checksum is compared
        return content

    def _check_operations(self, content: bytes) -> None:
        for operation, argument, _ in pickletools.genops(content):
            if operation.name in _REFUSED_OPERATIONS:
                raise self._refused(f"the operation {operation.name}")
            if operation.name.endswith("PUT") and isinstance(argument, int) and argument > len(content):
                raise self._refused(f"a memory of {argument} objects")

    def _refused(self, asked: str) -> UserError:
        return UserError(
            f"{self.name} asks for {asked}, which no weights need; nothing was run",
            "do not load it with other tools either, unless you trust whoever made it",
        )

    def refused_global(self, module: str, name: str) -> UserError:
        """A name that is not in the table."""
        return self._refused(f"{module}.{name}")

    def _no_archive(self, start: bytes) -> UserError:
        if start.startswith(b"PK") or not start:
            return UserError(
                f"{self.name} is not whole (half a download?): {'its end lacks' if start else 'it is empty'}",
                _AGAIN,
            )
        if start.startswith(b"\x80"):
            return UserError(
                f"{self.name} is a plain pickle, as PyTorch wrote before 1.6",
                "load it with PyTorch and save its state dictionary again, if you trust whoever made it",
            )
        return UserError(f"{self.name} is no checkpoint of PyTorch (no zip archive)", "correct the path")


_AGAIN = "download or copy it again"


class _Unpickler(pickle.Unpickler):
    """Builds plain values, `Stored` tensors and `Inert` objects; everything else is refused by name."""

    def __init__(self, content: bytes, archive: _Archive) -> None:
        super().__init__(io.BytesIO(content))
        self.archive = archive

    def find_class(self, module: str, name: str) -> Any:
        found = f"{module}.{name}"
        if found == "collections.OrderedDict":
            return _Ordered
        if module == "torch" and name in _STORAGES:
            return _STORAGES[name]
        if found in _INERT:
            return Inert
        rebuilds: dict[str, Callable[..., Any]] = {
            "torch._utils._rebuild_tensor_v2": self._tensor,
            "torch._utils._rebuild_parameter": lambda data, *others: data,
        }
        if found in rebuilds:
            return rebuilds[found]
        if self.archive.program and module.partition(".")[0] == "__torch__":
            return Module
        if self.archive.program and module == "torch.jit._pickle":  # marks of types: lists of integers, ...
            return lambda marked, *others: marked
        raise self.archive.refused_global(module, name)

    def persistent_load(self, pid: Any) -> _Storage:
        match pid:
            case ("storage", kind, key, _, count):
                return self.archive.storage(key, kind, count)
        raise ValueError("a reference to something that is no storage")

    def _tensor(
        self, storage: object, offset: object, shape: object, strides: object, *others: object
    ) -> Stored:
        return self.archive.tensor(storage, offset, shape, strides)
