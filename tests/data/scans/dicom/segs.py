"""DICOM SEG as other programs write them, of a small series."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import highdicom
import numpy as np
from pydicom import Dataset
from pydicom.sr.coding import Code
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

STRUCTURE = Code("123037004", "SCT", "Anatomical Structure")
LIVER = Code("10200004", "SCT", "Liver")
SPLEEN = Code("78961009", "SCT", "Spleen")
KIDNEY = Code("64033007", "SCT", "Kidney")
LEFT = Code("7771000", "SCT", "Left")


def seg(
    images: Sequence[Dataset],
    labels_IJK: np.ndarray,
    names: Mapping[int, str],
    codes: Mapping[int, Code],
    *,
    kind: str = "BINARY",
    manual: bool = True,
    **options: Any,
) -> Dataset:
    """A SEG of the images, whose segments are the labels 1, 2, ... of `names`."""
    algorithm = highdicom.AlgorithmIdentificationSequence(
        name="theirs", family=Code("123109", "DCM", "Artificial Intelligence"), version="1"
    )
    segments = [
        highdicom.seg.SegmentDescription(
            segment_number=number,
            segment_label=name,
            segmented_property_category=STRUCTURE,
            segmented_property_type=codes[number],
            algorithm_type="MANUAL" if manual else "AUTOMATIC",
            algorithm_identification=None if manual else algorithm,
        )
        for number, name in names.items()
    ]
    return highdicom.seg.Segmentation(
        source_images=list(images),
        pixel_array=np.ascontiguousarray(labels_IJK.T).astype(np.uint8),
        segmentation_type=kind,
        segment_descriptions=segments,
        series_instance_uid=generate_uid(),
        series_number=99,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer="others",
        manufacturer_model_name="theirs",
        software_versions="1",
        device_serial_number="1",
        transfer_syntax_uid=ExplicitVRLittleEndian,
        **options,
    )
