"""What a user may point at: a model folder, a dataset folder, a fold, a lone checkpoint, an exported zip.

    DatasetNNN_Name/<trainer>__<plans>__<configuration>/plans.json, dataset.json, fold_k/checkpoint_final.pth

Names are hints: what a model is, its checkpoint and plans say. A zip is read in place, nothing is unpacked.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from ...data.scans.scan import ending
from ...errors import UserError
from ...json_files import object_in

Place = Path | zipfile.Path  # of a file or folder; both are asked in the same words

CHECKPOINT = "checkpoint_final.pth"
_MOST_TEXT = 2**26  # bytes of plans.json or dataset.json
_MOST_RATIO = 1000  # of anything in a zip; deflate makes text at most a thousand times smaller
_PIECE = 2**20
_DATASET = r"Dataset\d{3}_"


@dataclass(frozen=True)
class ModelFolder:
    """One configuration of one model, with the folds that answer."""

    path: str  # what the user gave
    place: Place | None  # the model folder; None for a checkpoint without one
    checkpoints: Mapping[str, Place]  # fold -> file; at least one

    @property
    def name(self) -> str:
        """That of the model folder, or of the lone checkpoint."""
        return Path(self.path).name if self.place is None else self.place.name or Path(self.path).stem

    @property
    def dataset(self) -> str:
        """The name of the dataset folder, "" where there is none."""
        above = None if self.place is None else _parent(self.place)
        return above.name if above is not None and re.match(_DATASET, above.name) else ""

    def json(self, file: str) -> dict[str, Any] | None:
        """A description beside the folds, in the order it is written; None where there is none."""
        if self.place is None or not (self.place / file).is_file():
            return None
        return read_json(self.place / file)

    def sibling(self, configuration: str, checkpoint: str, folds: tuple[str, ...] | None) -> ModelFolder:
        """The model of the same trainer and plans for another configuration."""
        above = None if self.place is None else _parent(self.place)
        trained = self.name.split("__")
        if above is None or len(trained) != 3:
            raise UserError(
                f"{self.path} is the second stage of a cascade; its first, {configuration}, is not beside it",
                "give the model folder within its dataset folder, with the first stage's folder beside it",
            )
        place = above / "__".join([*trained[:2], configuration])
        if not place.is_dir():
            raise UserError(
                f"{self.path} is the second stage of a cascade; its first, {place.name}, is not in {above}",
                "copy that folder there too",
            )
        there = _checkpoints(place, checkpoint)
        kept = folds if folds and all(fold in there for fold in folds) else None
        return _model(f"{above}/{place.name}", place, checkpoint, kept)


def recognises(path: Path) -> bool:
    """Whether `path` looks like nnU-Net's, of version 1 too, whole or not."""
    if path.is_file():
        return path.suffix.lower() in (".pth", ".model") or (
            path.suffix.lower() == ".zip" and _nnunet_zip(path)
        )
    if not path.is_dir():
        return False
    fold = _is_fold(path.absolute()) and any(_is_pth(file) for file in _inside(path))
    return fold or _looks_like_model(path) or bool(_models(path)) or _version_1(path)


def dataset_names(path: Path) -> list[str]:
    """The dataset folders that `path` lies in or holds models of."""
    place: Place = path.absolute()
    if path.is_file() and path.suffix.lower() == ".zip":
        with contextlib.suppress(zipfile.BadZipFile, OSError):
            place = zipfile.Path(path)
    above = [path.absolute(), *path.absolute().parents][:4]
    held = [_parent(model) for model in _models(place)]
    found = {one.name for one in (*above, *held) if one is not None}
    return sorted(name for name in found if re.match(_DATASET, name))


def find_model(
    path: Path, configuration: str | None, folds: tuple[str, ...] | None, checkpoint: str
) -> ModelFolder:
    """The one model at `path`. Raises `UserError` where there is none, or several to choose from."""
    if path.is_file() and path.suffix.lower() == ".pth":
        return _of_checkpoint(path, folds)
    if _version_1(path):
        raise UserError(
            f"{path} is a model of nnU-Net v1, which prepares scans otherwise in every step",
            "predict with nnU-Net v1 itself (--save_npz), and give the folder of its answers as the teacher",
        )
    place: Place = path.absolute()
    if path.is_file():
        _check_zip(path)
        place = zipfile.Path(path)
    if _is_fold(place) and not _looks_like_model(place):
        fold = place.name.removeprefix("fold_")
        return _model(str(path), path.absolute().parent, checkpoint, folds or (fold,))
    if _looks_like_model(place):
        return _model(str(path), place, checkpoint, folds)
    models = _models(place)
    if configuration is not None:
        chosen = [m for m in models if configuration in (m.name, m.name.split("__")[-1])]
        if not chosen and models:
            raise UserError(f"{path} holds no configuration {configuration!r}", f"there are {_named(models)}")
        models = chosen
    if not models:
        raise UserError(
            f"{path} holds no nnU-Net v2 model (no fold with a checkpoint in it)",
            "give the folder <trainer>__<plans>__<configuration> of nnUNet_results, not of nnUNet_raw or"
            " nnUNet_preprocessed",
        )
    if len(models) > 1:
        raise UserError(
            f"{path} holds {len(models)} models: {_named(models)}",
            "choose one: --configuration NAME (of distil and recipes: --teacher-configuration), or give its"
            f" folder{_best(place)}",
        )
    return _model(str(path), models[0], checkpoint, folds)


def read_json(place: Place) -> dict[str, Any]:
    """An object, its keys in the order of the file. Raises `UserError`, naming the file."""
    with opened(place) as file:
        content = file.read(_MOST_TEXT + 1)
    if len(content) > _MOST_TEXT:
        raise UserError(f"{place} has more than {_MOST_TEXT:,} bytes", "is it the right file?")
    return object_in(content, place, fix="copy it again from the model")


@contextlib.contextmanager
def opened(place: Place) -> Iterator[IO[bytes]]:
    """The file, open for reading at any position; a zip's member is unpacked into a temporary file."""
    try:
        if isinstance(place, Path):
            with place.open("rb") as file:
                yield file
            return
        with place.open("rb") as member, tempfile.TemporaryFile() as whole:
            while piece := member.read(_PIECE):
                whole.write(piece)
            whole.seek(0)
            yield whole
    except (zipfile.BadZipFile, EOFError) as error:
        raise UserError(f"{place} is damaged ({error})", "download or copy the zip again") from None
    except OSError as error:
        raise UserError(f"{place} cannot be read ({error.strerror or error})", "check it") from None


def digest(place: Place) -> str:
    """SHA-256 of the file's content."""
    with opened(place) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]


def _of_checkpoint(path: Path, folds: tuple[str, ...] | None) -> ModelFolder:
    """A lone file: its folder's folder is the model, where that holds plans."""
    above = path.absolute().parent
    fold = above.name.removeprefix("fold_") if above.name.startswith("fold_") else "0"
    if folds is not None and folds != (fold,):
        raise UserError(
            f"{path} is the checkpoint of one fold, {fold}; asked for {', '.join(folds)}",
            "give the model folder, which holds all of them",
        )
    described = above.name.startswith("fold_") and (above.parent / "plans.json").is_file()
    return ModelFolder(str(path), above.parent if described else None, {fold: path})


def _model(path: str, place: Place, checkpoint: str, folds: tuple[str, ...] | None) -> ModelFolder:
    """The model folder with the folds asked for: all that are numbers, or `fold_all` if there are none."""
    there = _checkpoints(place, checkpoint)
    if folds is None:
        chosen = sorted((fold for fold in there if fold != "all"), key=int) or list(there)
    else:
        chosen = [fold for fold in there if fold in folds]  # in whatever order they were asked for
        missing = [fold for fold in folds if fold not in there]
        if there and missing:
            raise UserError(
                f"{path} has no {checkpoint} in fold_{missing[0]}", f"it has the folds {', '.join(there)}"
            )
    if not there:
        others = sorted({file.name for fold in _folds(place) for file in fold.iterdir() if _is_pth(file)})
        raise UserError(
            f"{path} holds no {checkpoint}" + (f", but {', '.join(others)}" if others else " in any fold"),
            f"give that file itself, fold_*/{others[0]}" if others else "train it, or copy its folds too",
        )
    return ModelFolder(path, place, {fold: there[fold] for fold in chosen})


def _checkpoints(place: Place, checkpoint: str) -> dict[str, Place]:
    found = {fold.name.removeprefix("fold_"): fold / checkpoint for fold in _folds(place)}
    return {fold: file for fold, file in sorted(found.items()) if file.is_file()}


def _folds(place: Place) -> list[Place]:
    return [sub for sub in _inside(place) if _is_fold(sub) and sub.is_dir()]


def _is_fold(place: Place) -> bool:
    return re.fullmatch(r"fold_(\d+|all)", place.name) is not None


def _looks_like_model(place: Place) -> bool:
    """A fold with a checkpoint, or plans.json; nnU-Net puts that beside label maps that it predicts too."""
    if (place / "plans.json").is_file() and not any(_is_answer(file.name) for file in _inside(place)):
        return True
    return any(_is_pth(file) for fold in _folds(place) for file in _inside(fold))


def _is_answer(file: str) -> bool:
    return file == "predict_from_raw_data_args.json" or file.endswith(".npz") or ending(file) != ""


def _models(place: Place) -> list[Place]:
    """Model folders in a dataset folder, or in a folder of those, by name; in a zip whatever their name."""
    found: list[Place] = []
    for sub in _inside(place):
        if not sub.is_dir() or sub.name.startswith("."):
            continue
        if ("__" in sub.name or isinstance(sub, zipfile.Path)) and _looks_like_model(sub):
            found.append(sub)
        elif re.match(_DATASET, sub.name) or sub.name == "nnUNet_results":
            found += _models(sub)
    return sorted(found, key=str)


def _inside(place: Place) -> list[Place]:
    try:
        return list(place.iterdir()) if place.is_dir() else []
    except OSError:  # not ours to read
        return []


def _is_pth(file: Place) -> bool:
    return file.name.endswith(".pth")


def _parent(place: Place) -> Place | None:
    """The folder above; None for the top of a zip, above which is the disk."""
    if isinstance(place, Path):
        return place.absolute().parent
    return place.parent if place.at.strip("/") else None  # type: ignore[return-value]


def _named(models: list[Place]) -> str:
    datasets = {str(_parent(model)) for model in models}
    return ", ".join(
        model.name if len(datasets) == 1 else f"{getattr(_parent(model), 'name', '')}/{model.name}"
        for model in models
    )


def _best(place: Place) -> str:
    """Which configuration nnU-Net itself found best, where a file says so."""
    file = place / "inference_information.json"
    if not file.is_file():
        return ""
    best = read_json(file).get("best_model_or_ensemble")
    chosen = best.get("selected_model_or_models") if isinstance(best, dict) else None
    names = [str(one.get("configuration")) for one in chosen or [] if isinstance(one, dict)]
    return f" (nnU-Net found best: {' with '.join(names)})" if names else ""


def _version_1(path: Path) -> bool:
    if path.is_file():
        return path.suffix.lower() == ".model"
    levels = ("", "*/", "*/*/")
    return not _looks_like_model(path) and any(
        next(path.glob(f"{level}{file}"), None) is not None
        for level in levels
        for file in ("model_final_checkpoint.model", "plans.pkl")
    )


def _nnunet_zip(path: Path) -> bool:
    """A zip with a fold or plans in it; also one that cannot be opened, to say so."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError):
        return True
    return any(re.search(r"(^|/)fold_(\d+|all)/.*\.pth$|__.*/plans\.json$", name) for name in names)


def _check_zip(path: Path) -> None:
    """Refuses a zip that is not whole, reaches out of its folder or unpacks to far more than there can be."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, OSError) as error:
        raise UserError(
            f"{path} is not whole (half a download?): {error}", "download or copy it again"
        ) from None
    for member in members:
        parts = PurePosixPath(member.filename.replace("\\", "/")).parts
        if ".." in parts or (parts and (parts[0] == "/" or parts[0].endswith(":"))):
            raise UserError(
                f"{path} holds a member that would lie outside of it: {member.filename}",
                "no export of nnU-Net does; do not unpack it",
            )
        if member.file_size > _MOST_RATIO * max(member.compress_size, 1):
            raise UserError(
                f"{path}: {member.filename} unpacks to {member.file_size:,} bytes from"
                f" {member.compress_size:,}",
                "no weights do; get the file from its author again",
            )
