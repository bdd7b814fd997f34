"""The artefact: one folder, or one zip, with all that a prediction needs and whence it comes.

    artefact.json     what this is: engine, inferer, provenance, parity, a digest of each file below
    plan.json         how scans are prepared, the modalities in their order, the labels
    preparation.json  of a model of others: how its makers prepare scans; the plan then is for people
    network.*         ONNX; OpenVINO's .xml and .bin; or safetensors
    network_<n>.*, plan_<n>.json    of several views that answer as one, each instead
    README.md         the model card, for people

Nothing is executed, nothing unpacked, and a file that is not the one that was exported is refused.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PureWindowsPath
from typing import Annotated, Any, Literal

from ..data.planning.plan import Plan, plan_of
from ..errors import UserError
from ..functional.fusions import check_fusion
from ..json_files import object_in
from ..names import check_distinct, component, quoted
from ..records import Checked, Record, first_misfit

DESCRIPTION, PLAN, CARD = "artefact.json", "plan.json", "README.md"
PREPARATION = "preparation.json"
_AGAIN = "copy it again, or export the run again"
_STRANGE = "no export makes that: get it again from whom you trust"
_MOST_TIMES, _MOST_SMALL = 100, 2**24  # weights hardly shrink in a zip, a small network's text does


def _member(name: str) -> str:
    return component(name, kind="file")


def _members(files: dict[str, str]) -> dict[str, str]:
    check_distinct(((name, DESCRIPTION) for name in files), kind="file")
    return files


def _fusion(told: dict[str, Any]) -> dict[str, Any]:
    if told:
        if not set(told) <= {"how", "threshold"} or not isinstance(told.get("threshold", 0.5), int | float):
            raise ValueError("it says how, and a threshold")
        check_fusion(told.get("how", "vote"), told.get("threshold", 0.5))
    return told


def _preparation(told: str) -> str:
    if told not in PREPARATIONS:
        raise ValueError(
            f"scans are prepared as {quoted(told)} does it, which is not known here"
            f" (known: {', '.join(PREPARATIONS)})"
        )
    return told


# Whose way from scans to label maps: ours, by the plan; nnU-Net's, a MONAI bundle's: folders of `runtime`.
PREPARATIONS = ("plan", "nnunet", "monai")

Fusion = Annotated[dict[str, Any], Checked(_fusion)]
Member = Annotated[str, Checked(_member)]  # the name of a file of the artefact


@dataclass(frozen=True, kw_only=True)
class View(Record):
    """One of several networks that answer as one, and what it does not share with the others."""

    network: Member
    inferer: dict[str, Any]
    answers: Literal["classes", "regions"]
    plan: Member = PLAN


@dataclass(frozen=True, kw_only=True)
class Description(Record):
    """What artefact.json holds."""

    format: Literal[1] = 1
    name: str  # the run's
    target: str  # what was asked of `distilseg export --to`
    engine: Literal["onnx", "openvino", "torch"]  # what runs the network
    network: Member  # its file
    answers: Literal["classes", "regions"]  # what the logits are of
    inferer: dict[str, Any]  # how a volume is cut and put together, as in experiment.json
    preparation: Annotated[str, Checked(_preparation)] = "plan"  # whose: one of PREPARATIONS
    views: tuple[View, ...] = ()  # of several networks: all of them; the three above are the first's
    fusion: Fusion = field(default_factory=dict)  # and how their answers become one: how, threshold
    made: dict[str, Any]  # recipe, data, teachers, licences, versions
    parity: dict[str, Any] = field(
        default_factory=dict
    )  # how far it is from the run in float, on how many cases
    windows: dict[str, Any] = field(
        default_factory=dict
    )  # fitted to scans or not, and why: Dice and time with either
    quantisation: dict[str, Any] = field(
        default_factory=dict
    )  # where int8 was asked for: Dice before and after, what was kept
    cost: dict[str, Any] = field(
        default_factory=dict
    )  # size and seconds a case beside the run's, on the machine that exported
    files: Annotated[dict[Member, str], Checked(_members)]  # file -> SHA-256

    def check(self) -> None:
        """Raises ValueError where it does not say, or cannot, whose preparation it holds."""
        if self.preparation == "plan" and PREPARATION in self.files:
            raise ValueError(f"it holds a {PREPARATION}, and does not say whose preparation that is")
        if self.preparation != "plan" and (self.views or self.fusion or self.engine == "torch"):
            raise ValueError(f"preparation {self.preparation} is of one network, and not for torch")

    def model_dump(self, *, mode: Literal["python", "json"] = "python", exclude_none: bool = False) -> Any:
        """As of `Record`, without a preparation that is ours: versions that know no other read it too."""
        values = super().model_dump(mode=mode, exclude_none=exclude_none)
        if values.get("preparation") == "plan":
            del values["preparation"]
        return values


@dataclass(frozen=True)
class Artefact:
    """An artefact that was opened: its description and plan, and its files as bytes."""

    path: Path
    about: Description
    plan: Plan
    _read: Callable[[str], bytes]

    @property
    def views(self) -> tuple[View, ...]:
        """Its networks, one in most."""
        about = self.about
        return about.views or (View(network=about.network, inferer=about.inferer, answers=about.answers),)

    @property
    def sha256(self) -> str:
        """Of its description, which holds those of all other files: a folder and its zip have the same."""
        return digest(self._read(DESCRIPTION))

    def plan_of(self, view: View) -> Plan:
        """The plan that a view was trained with; but for organs, the labels are those of `plan`."""
        if view.plan == PLAN:
            return self.plan
        return plan_of(self.read(view.plan), self.path / view.plan)

    def card(self) -> str:
        """README.md, which is for people: no digest covers it. KeyError where there is none."""
        return self._read(CARD).decode("utf-8", errors="replace")

    def read(self, name: str) -> bytes:
        """A file of it, whole; raises UserError where it is missing or not the one that was exported."""
        return _checked(self.path, self._read, name, self.about.files)


def is_artefact(path: Path | str) -> bool:
    """Whether `path` is meant as an artefact: a folder with an artefact.json, or a zip."""
    path = Path(path)
    return (path / DESCRIPTION).is_file() or (path.suffix.lower() == ".zip" and not path.is_dir())


def open_artefact(path: Path | str) -> Artefact:
    """Reads the description and the plan; raises UserError, in one line, for what is no whole artefact."""
    path = Path(path)
    read = _files_of(path)
    try:
        content = read(DESCRIPTION)
    except KeyError:
        raise UserError(
            f"{path} is no artefact (no {DESCRIPTION} in it)", "make one: distilseg export RUN"
        ) from None
    try:
        about = Description.model_validate(object_in(content, "it"))
    except UserError as error:
        raise UserError(f"{path}: {DESCRIPTION} is damaged ({error.cause})", _AGAIN) from None
    except ValueError as error:
        fix = "is it of a newer distilseg? export the run again"
        raise UserError(f"{path}: {DESCRIPTION} makes no sense ({_first(error)})", fix) from None
    return Artefact(path, about, plan_of(_checked(path, read, PLAN, about.files), path / PLAN), read)


def digest(content: bytes) -> str:
    """What `files` holds of a file."""
    return hashlib.sha256(content).hexdigest()


def _checked(path: Path, read: Callable[[str], bytes], name: str, files: dict[str, str]) -> bytes:
    try:
        content = read(name)
    except KeyError:
        raise UserError(f"{path} lacks {name}", _AGAIN) from None
    if digest(content) != files.get(name):
        raise UserError(f"{path}: {name} is not what was exported (its SHA-256 differs)", _AGAIN)
    return content


def _files_of(path: Path) -> Callable[[str], bytes]:
    """A function that reads a file of the artefact at `path`; KeyError where there is none of that name."""
    if path.is_dir():

        def from_folder(name: str) -> bytes:
            file = path / component(name, kind="file")
            if not file.is_file():
                raise KeyError(name)
            return file.read_bytes()

        return from_folder
    if not path.is_file():
        raise UserError(f"there is no artefact {path}", "make one: distilseg export RUN")

    def from_zip(name: str) -> bytes:
        try:
            with zipfile.ZipFile(path) as packed:
                check_members(path, packed)
                found = [m for m in packed.infolist() if m.filename.rpartition("/")[2] == name]
                if not found:
                    raise KeyError(name)
                if len(found) > 1:
                    raise UserError(f"{path} holds {name} {len(found)} times", _STRANGE)
                (inside,) = found
                with packed.open(inside) as member:
                    return member.read(inside.file_size)  # read() alone would unpack what is not declared
        except (zipfile.BadZipFile, OSError, EOFError) as error:
            raise UserError(f"{path} is no whole zip ({error})", _AGAIN) from None

    return from_zip


def check_members(path: Path, packed: zipfile.ZipFile, fix: str = _STRANGE) -> None:
    """Raises UserError for a zip that no export makes: nothing in it is unpacked then."""
    members = packed.infolist()
    for member in members:
        inside = PureWindowsPath(member.filename)  # which knows both kinds of slash
        if inside.anchor or ".." in inside.parts:
            raise UserError(f"{path} holds {quoted(member.filename)}, which leads out of it", fix)
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or member.flag_bits & 1:
            raise UserError(f"{path} is encrypted, or packed in an unusual way", fix)
    declared, packed_bytes = sum(member.file_size for member in members), path.stat().st_size
    if declared > _MOST_TIMES * packed_bytes + _MOST_SMALL:
        raise UserError(
            f"{path} says it holds {declared / 1e6:,.0f} MB in a file of {packed_bytes / 1e6:,.1f} MB",
            fix,
        )


def _first(error: ValueError) -> str:
    first = first_misfit(error)
    if first is None:
        return str(error)
    return f"{'.'.join(map(str, first['loc'])) or 'the whole'}: {first['msg']}"
