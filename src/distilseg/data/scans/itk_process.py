"""A process that reads scans with SimpleITK; `served.py` says how it is talked to.

It is asked for path, reader (ITK's name for it) and voxels (or the header alone).
"""

from __future__ import annotations

import re
from typing import Any

import SimpleITK as sitk

from .served import Tell, serve


def answer(tell: Tell, path: str, reader: str, voxels: bool) -> None:
    """What the header says, and the voxels if they are asked for."""
    file = sitk.ImageFileReader()
    file.SetImageIO(reader)
    file.SetFileName(path)
    array: Any = None
    if voxels:
        of: Any = file.Execute()
        array = sitk.GetArrayViewFromImage(of)
    else:
        file.ReadImageInformation()
        of, bits = file, re.search(r"(\d+)-bit", sitk.GetPixelIDValueAsString(file.GetPixelID()))
    said: dict[str, Any] = {
        "size": of.GetSize(),
        "spacing": of.GetSpacing(),
        "origin": of.GetOrigin(),
        "direction": of.GetDirection(),
    }
    if not voxels:
        said |= {
            "components": file.GetNumberOfComponents(),
            "value_bytes": int(bits[1]) // 8 if bits else 8,
        }
    tell(said, array)


if __name__ == "__main__":
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    serve(answer)
