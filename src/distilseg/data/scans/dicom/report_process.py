"""A structured report (TID 1500) of the volumes of a SEG's segments; runs in `seg_process.py`.

A measurement group a segment, which names the segment, what it is, and the algorithm. A segment of which
nothing was found has a volume of 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import highdicom as hd
from pydicom import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

_IMAGING = Code("363679005", "SCT", "Imaging procedure")
_ML = Code("ml", "UCUM", "milliliter")
_DIGITS = 6  # that are told of a volume


def report_of(
    made: hd.seg.Segmentation,
    source: Sequence[Dataset],
    segments: Sequence[Mapping[str, Any]],
    volumes_ml: Sequence[float],
    model: Mapping[str, Any],
    sides: Mapping[str, Code],
) -> Dataset:
    """The report of a SEG that was just made of `source`; volumes in the order of its segments."""
    device = hd.sr.DeviceObserverIdentifyingAttributes(
        uid=hd.UID(), name="distilseg", manufacturer_name="distilseg", model_name=model["name"][:64]
    )
    observer = hd.sr.ObserverContext(codes.DCM.Device, device)
    # Of BINARY, a segment of which nothing was found has no frames, unless nothing was found at all.
    all_have_frames = made.SegmentationType == "LABELMAP" or not any(volumes_ml)
    groups = [
        _group(number, segment, ml, made, source, model, sides, in_place=ml > 0 or all_have_frames)
        for number, (segment, ml) in enumerate(zip(segments, volumes_ml, strict=True), start=1)
    ]
    content = hd.sr.MeasurementReport(
        observation_context=hd.sr.ObservationContext(observer_device_context=observer),
        procedure_reported=_IMAGING,
        imaging_measurements=groups,
        title=codes.DCM.ImagingMeasurementReport,
    )
    return hd.sr.Comprehensive3DSR(
        evidence=[made, *source],
        content=content,
        series_instance_uid=hd.UID(),
        series_number=int(made.SeriesNumber) + 1000,
        sop_instance_uid=hd.UID(),
        instance_number=1,
        manufacturer="distilseg",
        is_complete=True,
        is_final=False,
        is_verified=False,
        series_description=f"volumes by distilseg {model['name']}"[:64],
    )


def _group(
    number: int,
    segment: Mapping[str, Any],
    volume_ml: float,
    made: hd.seg.Segmentation,
    source: Sequence[Dataset],
    model: Mapping[str, Any],
    sides: Mapping[str, Code],
    *,
    in_place: bool,
) -> Any:
    """What was measured of a segment; of one without frames, of which there is no place, it is said of the
    images."""
    finding = hd.sr.CodedConcept(*segment["type"])
    told: dict[str, Any] = {
        "tracking_identifier": hd.sr.TrackingIdentifier(hd.UID(), segment["name"][:64]),
        "finding_type": finding,
        "finding_category": hd.sr.CodedConcept(*segment["category"]),
        "algorithm_id": hd.sr.AlgorithmIdentification(
            name=f"distilseg {model['name']}"[:64],
            version=model["version"],
            parameters=[f"{name}: {value}" for name, value in model["parameters"].items()],
        ),
        "measurements": [
            hd.sr.Measurement(name=codes.SCT.Volume, value=float(f"{volume_ml:.{_DIGITS}g}"), unit=_ML)
        ],
    }
    if segment["laterality"]:
        side = sides[segment["laterality"]]
        told["finding_sites"] = [hd.sr.FindingSite(anatomic_location=finding, laterality=side)]
    if not in_place:
        images = [hd.sr.SourceImageForMeasurementGroup.from_source_image(source[0])]
        return hd.sr.MeasurementsAndQualitativeEvaluations(source_images=images, **told)
    referenced = hd.sr.ReferencedSegment(
        sop_class_uid=made.SOPClassUID,
        sop_instance_uid=made.SOPInstanceUID,
        segment_number=number,
        source_series=hd.sr.SourceSeriesForSegmentation(str(source[0].SeriesInstanceUID)),
    )
    return hd.sr.VolumetricROIMeasurementsAndQualitativeEvaluations(referenced_segment=referenced, **told)
