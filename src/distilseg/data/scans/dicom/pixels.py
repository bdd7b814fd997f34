"""The pixels of a DICOM file as stored, before any rescaling; runs in `process.py`.

Which codec decodes is said here: never python-gdcm, whose faults end a process where others raise.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydicom import Dataset, dcmread
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

PLUGINS = ("pyjpegls", "pylibjpeg", "pydicom", "pillow")
_OTHERS = "pip install pylibjpeg-libjpeg (GPL), or decompress them (dcmdjpeg of DCMTK)"


def stored_pixels(path: Path, instance: str) -> np.ndarray:
    """[frames rows columns] in an integer type, sign and unused bits as the header says.

    Raises ValueError in words for what cannot be decoded, or is not the image that was found here.
    """
    dataset = dcmread(path, force=True)
    if str(dataset.get("SOPInstanceUID", "")) != instance:
        raise ValueError("another image lies there now")
    array = _decoded(dataset)
    if array.ndim == 2:
        array = array[np.newaxis]
    expected = (int(dataset.get("NumberOfFrames", 1) or 1), int(dataset.Rows), int(dataset.Columns))
    if array.shape != expected or array.dtype.kind not in "ui":
        raise ValueError("its pixels are not what its header says")
    return _meaning(array, int(dataset.BitsStored), signed=dataset.PixelRepresentation == 1)


def _decoded(dataset: Dataset) -> np.ndarray:
    syntax = dataset.file_meta.get("TransferSyntaxUID")
    if syntax is None:
        syntax = ImplicitVRLittleEndian if dataset.original_encoding[0] else ExplicitVRLittleEndian
    decoder, plugin = get_decoder(syntax), ""
    if syntax.is_compressed:
        plugin = next((name for name in PLUGINS if name in decoder.available_plugins), "")
        if not plugin:
            raise ValueError(f"nothing here decodes {syntax.name}: {_OTHERS}")
    array: np.ndarray = decoder.as_array(dataset, raw=True, decoding_plugin=plugin)[0]
    return array


def _meaning(array: np.ndarray, stored: int, *, signed: bool) -> np.ndarray:
    """The number in the low `stored` bits: what lies above may be an overlay, or the sign left out."""
    size = array.dtype.itemsize
    unused = size * 8 - stored
    native = array.astype(array.dtype.newbyteorder("="), copy=False)
    as_said = native.view(f"{'i' if signed else 'u'}{size}")
    return np.ascontiguousarray(as_said << unused >> unused) if unused else np.ascontiguousarray(as_said)
