"""What a DICOM file says about its planes, in plain values; runs in `process.py`.

Only kinds of scans whose planes have a place in the patient are taken, and segmentations of them; anything
else (reports, dose, captures of a screen) says its kind. What identifies a patient stays here: whether two
files are of one is told by a digest with a key that whoever asks draws anew in every process.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydicom import Dataset, config, dcmread
from pydicom.filereader import read_file_meta_info
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian

from .seg_header import SEGMENTATIONS, kind_of, made_of, segment_of, segments_of
from .values import Unusable, number, numbers, text, whole

SINGLE = {
    "1.2.840.10008.5.1.4.1.1.2": "CT",
    "1.2.840.10008.5.1.4.1.1.4": "MR",
    "1.2.840.10008.5.1.4.1.1.128": "PT",
}
MULTIFRAME = {
    "1.2.840.10008.5.1.4.1.1.2.1": "CT",
    "1.2.840.10008.5.1.4.1.1.2.2": "CT",  # legacy converted
    "1.2.840.10008.5.1.4.1.1.4.1": "MR",
    "1.2.840.10008.5.1.4.1.1.4.4": "MR",
    "1.2.840.10008.5.1.4.1.1.130": "PT",
    "1.2.840.10008.5.1.4.1.1.128.1": "PT",
}
_BEFORE_PIXELS = 8  # bytes of the tag and length, at least
_DIRECTORY = "1.2.840.10008.1.3.10"
_MOST_FRAMES = 100_000
_FRAME_TYPES = ("MRImageFrameTypeSequence", "CTImageFrameTypeSequence", "PETFrameTypeSequence")
_PRIVATE_B_VALUES = ((0x0019, 0x100C), (0x2001, 0x1003), (0x0043, 0x1039))  # Siemens, Philips, GE

config.settings.reading_validation_mode = config.IGNORE


def planes_of(path: Path, has_magic: bool, key: str) -> dict[str, Any]:
    """What is no scan as {"kind": ...}, else {"series": ..., "frames": [...]}; raises for a damaged header.

    Where the series is known and the place of its planes is not: {"series": ..., "unplaced": why}. Of a SEG
    also {"segmentation": ...}. `key` is that of the digest of the patient.
    """
    if has_magic and read_file_meta_info(path).get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
        raise Unusable("it is deflated as a whole, which is not read")
    with path.open("rb") as file:
        dataset = dcmread(file, stop_before_pixels=True, force=True)
        left = path.stat().st_size - file.tell() - _BEFORE_PIXELS
    sop_class = str(dataset.get("SOPClassUID", "") or "")
    if not sop_class:
        directory = str(dataset.file_meta.get("MediaStorageSOPClassUID", "")) == _DIRECTORY
        if directory:
            return {"kind": "DICOMDIR"}
        if not has_magic:
            return {"kind": ""}
        raise Unusable("it does not say what it is (cut short?)")
    if sop_class in SEGMENTATIONS:
        return {"kind": SEGMENTATIONS[sop_class], "segmentation": segmentation_of(dataset, key)}
    if sop_class not in SINGLE and sop_class not in MULTIFRAME:
        return {"kind": UID(sop_class).name if not UID(sop_class).is_private else "a private kind"}
    modality = SINGLE.get(sop_class) or MULTIFRAME[sop_class]
    series = _series(dataset, key) | {"modality": modality}
    try:
        frames = _frames(dataset, sop_class)
        broken = _broken(dataset, left, len(frames))
    except Unusable as error:
        return {"series": series, "unplaced": str(error)}
    except (TypeError, ValueError, AttributeError, KeyError, IndexError, OverflowError):
        return {"series": series, "unplaced": "its header is damaged"}
    return {"series": series, "frames": frames, "broken": broken}


def segmentation_of(dataset: Dataset, key: str = "") -> dict[str, Any]:
    """What a SEG says: of what it is, its segments, the place and segment of each frame; or why it cannot."""
    said = _series(dataset, key)
    try:
        groups = _groups_of_frames(dataset)
        frames = [_placed(one) | {"segment": segment_of(one)} for one in groups]
        told = {"kind": kind_of(dataset), "segments": segments_of(dataset), "frames": frames}
        return said | told | made_of(dataset, groups)
    except Unusable as error:
        return said | {"unusable": str(error)}
    except (TypeError, ValueError, AttributeError, KeyError, IndexError, OverflowError):
        return said | {"unusable": "its header is damaged"}


def _series(dataset: Dataset, key: str) -> dict[str, Any]:
    identifiers = {
        name: str(dataset.get(keyword, "") or "")
        for name, keyword in (
            ("study", "StudyInstanceUID"),
            ("series", "SeriesInstanceUID"),
            ("instance", "SOPInstanceUID"),
            ("frame_of_reference", "FrameOfReferenceUID"),
        )
    }
    if not all(identifiers[name] for name in ("study", "series", "instance")):
        raise Unusable("it does not say of which study and series it is")
    patient = str(dataset.get("PatientID", "") or dataset.get("PatientName", "") or "").strip()
    digest = hashlib.blake2b(patient.encode(), key=bytes.fromhex(key), digest_size=16).hexdigest()
    return identifiers | {
        "patient": digest if patient else "",
        "units": str(dataset.get("Units", "") or "").strip()[:16],
        "description": str(dataset.get("SeriesDescription", "") or "").strip(),
        "number": whole(dataset, "SeriesNumber"),
        "rows": whole(dataset, "Rows") or 0,
        "columns": whole(dataset, "Columns") or 0,
    }


def _frames(dataset: Dataset, sop_class: str) -> list[dict[str, Any]]:
    if sop_class in SINGLE:
        return [_image(dataset)]
    return [_frame(dataset, groups) for groups in _groups_of_frames(dataset)]


def _groups_of_frames(dataset: Dataset) -> list[dict[str, Dataset]]:
    """The functional groups of each frame, those that all share included."""
    count = whole(dataset, "NumberOfFrames") or 1
    shared = next(iter(dataset.get("SharedFunctionalGroupsSequence") or []), Dataset())
    each = dataset.get("PerFrameFunctionalGroupsSequence") or []
    if not 0 < count <= _MOST_FRAMES or len(each) != count:
        raise Unusable(f"it says it has {count} frames, and describes {len(each)}")
    of_all = _groups(shared)
    return [{**of_all, **_groups(own)} for own in each]


def _image(dataset: Dataset) -> dict[str, Any]:
    """The one plane of a file."""
    names = {
        "echo": "EchoTime",
        "b-value": "DiffusionBValue",
        "direction": "DiffusionGradientOrientation",
        "time": "TemporalPositionIdentifier",
        "acquisition": "AcquisitionNumber",
        "trigger": "TriggerTime",
        "inversion": "InversionTime",
        "flip angle": "FlipAngle",
    }
    apart = {name: text(dataset.get(keyword)) for name, keyword in names.items()}
    apart["b-value"] = apart["b-value"] or _private_b_value(dataset)
    apart["kind"] = _kind(dataset.get("ImageType"))
    order = {"order": whole(dataset, "InstanceNumber")}
    return _place(dataset, dataset, dataset) | _told(dataset, apart) | order


def _frame(dataset: Dataset, groups: Mapping[str, Dataset]) -> dict[str, Any]:
    """A plane of an enhanced file."""
    nothing = Dataset()
    content = groups.get("FrameContentSequence", nothing)
    diffusion = groups.get("MRDiffusionSequence", nothing)
    direction = next(iter(diffusion.get("DiffusionGradientDirectionSequence") or []), nothing)
    kinds = [groups[name].get("FrameType") for name in _FRAME_TYPES if name in groups]
    apart = {
        "echo": text(groups.get("MREchoSequence", nothing).get("EffectiveEchoTime")),
        "b-value": text(diffusion.get("DiffusionBValue")),
        "direction": text(direction.get("DiffusionGradientOrientation")),
        "time": text(content.get("TemporalPositionIndex")),
        "acquisition": text(content.get("FrameAcquisitionNumber")),
        "stack": text(content.get("StackID")),
        "kind": _kind(next(filter(None, kinds), dataset.get("ImageType"))),
    }
    rescale = groups.get("PixelValueTransformationSequence", nothing)
    return _placed(groups) | _told(rescale, apart) | {"order": None}


def _placed(groups: Mapping[str, Dataset]) -> dict[str, Any]:
    """The place of a frame."""
    names, nothing = ("PlanePosition", "PlaneOrientation", "PixelMeasures"), Dataset()
    return _place(*(groups.get(f"{name}Sequence", nothing) for name in names))


def _place(position: Dataset, orientation: Dataset, measures: Dataset) -> dict[str, Any]:
    return {
        "position": numbers(position.get("ImagePositionPatient"), 3, "position"),
        "orientation": numbers(orientation.get("ImageOrientationPatient"), 6, "orientation"),
        "spacing": numbers(measures.get("PixelSpacing"), 2, "pixel spacing"),
    }


def _told(rescale: Dataset, apart: Mapping[str, str]) -> dict[str, Any]:
    """How a plane is rescaled, and what may tell it from others at the same place."""
    return {
        "slope": number(rescale.get("RescaleSlope"), 1.0, "rescale slope"),
        "intercept": number(rescale.get("RescaleIntercept"), 0.0, "rescale intercept"),
        "apart": {name: value for name, value in apart.items() if value},
    }


def _groups(functional: Dataset) -> dict[str, Dataset]:
    """The functional groups of a frame: the first item of each sequence, by its keyword."""
    return {one.keyword: one.value[0] for one in functional if one.VR == "SQ" and one.value and one.keyword}


def _kind(image_type: Any) -> str:
    words = [image_type] if isinstance(image_type, str) else image_type or []
    return "\\".join(str(word).strip() for word in words)


def _broken(dataset: Dataset, left: int, frames: int) -> str:
    """Why the pixels of a file, of which `left` bytes follow its header, cannot be read; "" if they can."""
    if dataset.get("SamplesPerPixel", 1) != 1 or dataset.get("PhotometricInterpretation") != "MONOCHROME2":
        return (
            f"it is stored as {dataset.get('PhotometricInterpretation') or 'nothing said'}, not MONOCHROME2"
        )
    if "ModalityLUTSequence" in dataset:
        return "its values are rescaled by a table, which is not read"
    allocated, stored = dataset.get("BitsAllocated"), dataset.get("BitsStored")
    if allocated not in (8, 16, 32) or not isinstance(stored, int) or not 0 < stored <= allocated:
        return f"it has {stored} of {allocated} bits a pixel"
    if dataset.get("HighBit", stored - 1) != stored - 1 or dataset.get("PixelRepresentation") not in (0, 1):
        return "its bits are stored in an unusual way"
    padding = dataset.get("PixelPaddingValue")
    if isinstance(padding, int) and not -(2**stored) // 2 <= padding < 2**stored:
        return f"its padding, {padding}, does not fit into the {stored} bits of a pixel"
    syntax = dataset.file_meta.get("TransferSyntaxUID")
    native = syntax is None or not UID(syntax).is_compressed
    needed = int(dataset.Rows) * int(dataset.Columns) * frames * allocated // 8 if native else 8
    return "it is cut short" if left < needed - needed % 2 else ""


def _private_b_value(dataset: Dataset) -> str:
    """As vendors wrote it before the standard had a place for it."""
    for tag in _PRIVATE_B_VALUES:
        if tag in dataset:
            value = dataset[tag].value
            value = value.decode("ascii", "replace") if isinstance(value, bytes) else value
            first = value if isinstance(value, str | int | float) else next(iter(value), "")
            return str(first).strip("\0 ")
    return ""
