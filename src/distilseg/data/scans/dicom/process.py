"""A process that reads DICOM files with pydicom; `served.py` says how it is talked to.

It is asked for the planes of a file, for its pixels, or for the labels of a SEG on a grid.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..served import Tell, serve
from . import header, labels_process, pixels
from .looking import looks_like_dicom
from .values import Unusable

_NOT_SAID = "its header is damaged"  # whatever a library says may hold what is in the file


def answer(
    tell: Tell,
    path: str,
    key: str = "",
    instance: str = "",
    pixels_too: bool = False,
    labels_on: Mapping[str, Any] | None = None,
) -> None:
    """What the file says about its planes, see `header.planes_of` for `key`.

    With `pixels_too` the stored pixels of image `instance`; with `labels_on` the labels of a SEG on a grid.
    """
    if pixels_too or labels_on:
        try:
            if labels_on:
                array = labels_process.labels_on(Path(path), instance, **labels_on)
            else:
                array = pixels.stored_pixels(Path(path), instance)
        except ValueError as error:
            tell({"error": str(error)})
        except Exception as error:
            tell({"error": f"its pixels cannot be decoded ({type(error).__name__})"})
        else:
            tell({}, array)
        return
    try:
        looks = looks_like_dicom(Path(path))
        tell({"kind": ""} if looks is False else header.planes_of(Path(path), bool(looks), key))
    except Unusable as error:
        tell({"error": str(error)})
    except OSError as error:
        tell({"error": error.strerror or _NOT_SAID})
    except Exception:
        tell({"error": _NOT_SAID})


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    serve(answer)
