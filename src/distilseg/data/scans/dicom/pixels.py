"""The pixels of a DICOM file as stored, before any rescaling; runs in `process.py`.

Which codec decodes is said here: never python-gdcm, whose faults end a process where others raise.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from pydicom import Dataset, dcmread
from pydicom.pixels.decoders.base import Decoder, get_decoder
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEGTransferSyntaxes

from .itk_pixels import can_decode, frames_by_itk

PLUGINS = ("pyjpegls", "pylibjpeg", "pydicom", "pillow")
ITK = "SimpleITK"
_PILLOW_BITS = 8  # of a pixel in JPEG: it takes no more
_OTHERS = "pip install SimpleITK, or decompress them (dcmdjpeg of DCMTK)"


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


def decoded_frames(dataset: Dataset, frames: Sequence[int]) -> Iterator[np.ndarray]:
    """These frames, [rows columns], one after the other; raises ValueError where nothing decodes them."""
    if not frames:  # pydicom takes that for all
        return
    if dataset.BitsAllocated == 1 and not dataset.file_meta.TransferSyntaxUID.is_encapsulated:
        yield from _bits(dataset, frames)
        return
    decoder, plugin = _decoder(dataset)
    if plugin == ITK:
        yield from frames_by_itk(dataset, frames)
    else:
        told = decoder.iter_array(dataset, indices=list(frames), raw=True, decoding_plugin=plugin)
        yield from (array for array, _ in told)


def _bits(dataset: Dataset, frames: Sequence[int]) -> Iterator[np.ndarray]:
    """Frames of a bit a pixel, that may begin within a byte, where pydicom 3.0 cuts them wrongly."""
    stored, size = np.frombuffer(dataset.PixelData, np.uint8), dataset.Rows * dataset.Columns
    for n in frames:
        first, last = n * size, (n + 1) * size
        if last > 8 * len(stored):
            raise ValueError("it is cut short")
        bits = np.unpackbits(stored[first // 8 : (last + 7) // 8], bitorder="little")
        yield bits[first % 8 :][:size].reshape(dataset.Rows, dataset.Columns)


def _decoded(dataset: Dataset) -> np.ndarray:
    decoder, plugin = _decoder(dataset)
    if plugin == ITK:
        count = int(dataset.get("NumberOfFrames", 1) or 1)
        return np.stack(list(frames_by_itk(dataset, range(count))))
    array: np.ndarray = decoder.as_array(dataset, raw=True, decoding_plugin=plugin)[0]
    return array


def _decoder(dataset: Dataset) -> tuple[Decoder, str]:
    """Who decodes, and by which plugin: "" where there is nothing to decode."""
    syntax = dataset.file_meta.get("TransferSyntaxUID")
    if syntax is None:
        syntax = ImplicitVRLittleEndian if dataset.original_encoding[0] else ExplicitVRLittleEndian
    decoder = get_decoder(syntax)
    if not syntax.is_compressed:
        return decoder, ""
    here = [name for name in PLUGINS if name in decoder.available_plugins]
    if syntax in JPEGTransferSyntaxes and int(dataset.BitsStored) > _PILLOW_BITS:
        here = [name for name in here if name != "pillow"]
    if here:
        return decoder, here[0]
    if can_decode(syntax):
        return decoder, ITK
    raise ValueError(f"nothing here decodes {syntax.name}: {_OTHERS}")


def _meaning(array: np.ndarray, stored: int, *, signed: bool) -> np.ndarray:
    """The number in the low `stored` bits: what lies above may be an overlay, or the sign left out."""
    size = array.dtype.itemsize
    unused = size * 8 - stored
    native = array.astype(array.dtype.newbyteorder("="), copy=False)
    as_said = native.view(f"{'i' if signed else 'u'}{size}")
    return np.ascontiguousarray(as_said << unused >> unused) if unused else np.ascontiguousarray(as_said)
