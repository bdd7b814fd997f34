"""A process that writes DICOM SEG with highdicom; `served.py` says how it is talked to.

It is asked for the file to write, where the labels lie as .npy [K rows columns], and what `segmentation.py`
says about planes, segments and the model. Only headers of the source are read.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
from pydicom import Dataset, config, dcmread
from pydicom.sequence import Sequence as Items
from pydicom.sr.coding import Code
from pydicom.uid import ExplicitVRLittleEndian

from ..served import Tell, serve
from .report_process import report_of

_MAY_BE_EMPTY = (
    "PatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "StudyID",
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "ReferringPhysicianName",
)
_SHARED = ("PixelMeasuresSequence", "PlaneOrientationSequence")
_FAMILY = Code("123109", "DCM", "Artificial Intelligence")
_SIDES = {"left": Code("7771000", "SCT", "Left"), "right": Code("24028007", "SCT", "Right")}


def answer(
    tell: Tell,
    out: str,
    labels: str,
    files: Sequence[str],
    planes: Mapping[str, Any],
    segments: Sequence[Mapping[str, Any]],
    model: Mapping[str, Any],
    kind: str,
    report: str = "",
) -> None:
    """Writes the SEG, and a report of its volumes to `report`; what goes wrong is told without a value of the
    source."""
    try:
        found, source = np.load(labels), [_header(Path(file)) for file in files]
        made = _made(found, source, planes, segments, model, kind)
        made.save_as(out)
        if report:
            counts = np.bincount(found.reshape(-1), minlength=len(segments) + 1)[1:]
            volumes_ml = [count * planes["voxel_mm3"] / 1000 for count in counts.tolist()]
            report_of(made, source, segments, volumes_ml, model, _SIDES).save_as(report)
    except OSError as error:
        tell({"error": error.strerror or type(error).__name__})
    except Exception as error:
        tell({"error": f"highdicom refuses it ({type(error).__name__}: {_short(error)})"})
    else:
        tell({})


def _short(error: Exception) -> str:
    """Its first sentence; values of elements stand in quotation marks, and are left out; keywords are not."""
    if isinstance(error, AttributeError | KeyError):
        return str(error)
    return " ".join(str(error).split("'")[::2]).split(". ")[0][:200]


def _header(file: Path) -> Dataset:
    dataset = dcmread(file, stop_before_pixels=True, force=True)
    for keyword in _MAY_BE_EMPTY:
        if keyword not in dataset:
            setattr(dataset, keyword, None)
    if each := dataset.get("PerFrameFunctionalGroupsSequence"):  # highdicom looks in the shared groups alone
        for keyword in _SHARED:
            if keyword in each[0]:
                setattr(dataset.SharedFunctionalGroupsSequence[0], keyword, each[0][keyword].value)
    return dataset


def _made(
    labels: np.ndarray,
    source: Sequence[Dataset],
    planes: Mapping[str, Any],
    segments: Sequence[Mapping[str, Any]],
    model: Mapping[str, Any],
    kind: str,
) -> hd.seg.Segmentation:
    positions = [hd.PlanePositionSequence("PATIENT", position) for position in planes["positions"]]
    if empty := not labels.any():
        labels, positions = labels[:1], positions[:1]  # a SEG without frames is none: one, of nothing
    algorithm = hd.AlgorithmIdentificationSequence(
        name=f"distilseg {model['name']}"[:64],
        family=_FAMILY,
        version=model["version"],
        parameters=model["parameters"],
    )
    number = int(source[0].get("SeriesNumber") or 0)
    return hd.seg.Segmentation(
        source_images=list(source),
        pixel_array=labels,
        segmentation_type=kind,
        segment_descriptions=[_described(n, one, algorithm) for n, one in enumerate(segments, start=1)],
        series_instance_uid=hd.UID(),
        series_number=1000 + number % 1000,
        sop_instance_uid=hd.UID(),
        instance_number=1,
        manufacturer="distilseg",
        manufacturer_model_name=model["name"][:64],
        software_versions=model["version"],
        device_serial_number=model["digest"][:16],
        content_description="nothing found" if empty else "segmented by distilseg",
        content_creator_name="distilseg^",
        content_label="DISTILSEG",
        transfer_syntax_uid=ExplicitVRLittleEndian,
        pixel_measures=hd.PixelMeasuresSequence(
            pixel_spacing=planes["spacing"],
            slice_thickness=planes["step"],
            spacing_between_slices=planes["step"],
        ),
        plane_orientation=hd.PlaneOrientationSequence("PATIENT", planes["orientation"]),
        plane_positions=positions,
        omit_empty_frames=not empty,
        series_description=f"distilseg {model['name']}"[:64],
    )


def _described(
    number: int, segment: Mapping[str, Any], algorithm: hd.AlgorithmIdentificationSequence
) -> hd.seg.SegmentDescription:
    described = hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=segment["name"][:64],
        segmented_property_category=Code(*segment["category"]),
        segmented_property_type=Code(*segment["type"]),
        algorithm_type="AUTOMATIC",
        algorithm_identification=algorithm,
    )
    modifiers = [_SIDES[segment["laterality"]]] if segment["laterality"] else []
    modifiers += [Code(*segment["modifier"])] if segment["modifier"] else []
    if modifiers:
        of_type = described.SegmentedPropertyTypeCodeSequence[0]
        of_type.SegmentedPropertyTypeModifierCodeSequence = Items(
            [hd.sr.CodedConcept.from_code(one) for one in modifiers]
        )
    return described


if __name__ == "__main__":
    config.settings.reading_validation_mode = config.IGNORE
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    serve(answer)
