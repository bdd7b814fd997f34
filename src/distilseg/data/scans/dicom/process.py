"""A process that reads DICOM files with pydicom; `served.py` says how it is talked to.

It is asked for the planes of a file, or for its pixels.
"""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

from ..served import Tell, serve
from . import header, pixels
from .looking import looks_like_dicom

_NOT_SAID = "its header is damaged"  # whatever a library says may hold what is in the file


def answer(tell: Tell, path: str, instance: str = "", pixels_too: bool = False) -> None:
    """What the file says about its planes; with `pixels_too` the stored pixels of image `instance`."""
    if pixels_too:
        try:
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
        tell({"kind": ""} if looks is False else header.planes_of(Path(path), bool(looks)))
    except header.Unusable as error:
        tell({"error": str(error)})
    except OSError as error:
        tell({"error": error.strerror or _NOT_SAID})
    except Exception:
        tell({"error": _NOT_SAID})


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    serve(answer)
