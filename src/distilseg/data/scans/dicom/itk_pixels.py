"""The pixels of syntaxes that no codec under a free licence decodes in Python, by SimpleITK's GDCM; runs in
`process.py`.

JPEG lossless, and JPEG of 12 bits. GDCM is given nothing but the compressed frame and what it says of pixels:
it would rescale, and wrongly where slopes differ.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate, get_frame
from pydicom.uid import JPEG2000TransferSyntaxes, JPEGTransferSyntaxes, generate_uid

SYNTAXES = (*JPEGTransferSyntaxes, *JPEG2000TransferSyntaxes)
_ANY = "1.2.840.10008.5.1.4.1.1.7"  # secondary capture: pixels, and no more
_OF_PIXELS = (
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
)


def can_decode(syntax: str) -> bool:
    """Whether SimpleITK is here, and decodes this syntax."""
    return syntax in SYNTAXES and find_spec("SimpleITK") is not None


def frames_by_itk(dataset: Dataset, frames: Iterable[int]) -> Iterator[np.ndarray]:
    """These frames, [rows columns], as stored; raises ValueError where GDCM cannot decode one."""
    import SimpleITK

    SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)
    count = int(dataset.get("NumberOfFrames", 1) or 1)
    alone = Dataset()
    for keyword in _OF_PIXELS:
        setattr(alone, keyword, dataset[keyword].value)
    alone.SOPClassUID, alone.SOPInstanceUID = _ANY, generate_uid()
    alone.file_meta = FileMetaDataset()
    alone.file_meta.MediaStorageSOPClassUID = alone.SOPClassUID
    alone.file_meta.MediaStorageSOPInstanceUID = alone.SOPInstanceUID
    alone.file_meta.TransferSyntaxUID = dataset.file_meta.TransferSyntaxUID
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "frame"
        for n in frames:
            alone.PixelData = encapsulate([get_frame(dataset.PixelData, n, number_of_frames=count)])
            alone.save_as(file, enforce_file_format=True)
            try:
                image = SimpleITK.ReadImage(str(file), imageIO="GDCMImageIO")
            except RuntimeError:
                raise ValueError("GDCM cannot decode it") from None
            yield np.squeeze(SimpleITK.GetArrayFromImage(image), 0)
