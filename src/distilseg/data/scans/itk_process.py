"""A process that reads scans with SimpleITK, one after the other, and may die of one; `apart.py` talks to it.

    asked     a line of JSON: path, reader (ITK's name for it), voxels (or the header alone), limit_s
    told      a line of JSON, what the header says or {"error": ...}; then the voxels, as they lie in memory

It ends where nobody asks any more, and when reading takes longer than the limit: whoever asked sees that.
What ITK says on the way is dropped.
"""

from __future__ import annotations

import faulthandler
import json
import os
import re
import signal
import sys
from typing import Any, BinaryIO

import SimpleITK as sitk


def main() -> None:
    """Answers until standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for whoever asked
    told = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # libraries write to standard output whenever they like
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    while line := sys.stdin.buffer.readline():
        asked = json.loads(line)
        # By a thread that no library holds up.
        faulthandler.dump_traceback_later(asked.pop("limit_s"), exit=True)
        _answer(told, **asked)
        faulthandler.cancel_dump_traceback_later()


def _answer(told: BinaryIO, path: str, reader: str, voxels: bool) -> None:
    array: Any = None
    try:
        file = sitk.ImageFileReader()
        file.SetImageIO(reader)
        file.SetFileName(path)
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
        if voxels:
            said |= {"shape": array.shape, "dtype": array.dtype.str}
        else:
            said |= {
                "components": file.GetNumberOfComponents(),
                "value_bytes": int(bits[1]) // 8 if bits else 8,
            }
    except Exception as error:
        said, array = {"error": str(error).strip() or type(error).__name__}, None
    told.write(json.dumps(said).encode() + b"\n")
    if array is not None:
        told.write(memoryview(array).cast("B") if array.size else b"")
    told.flush()


if __name__ == "__main__":
    main()
