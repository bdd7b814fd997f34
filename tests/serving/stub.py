"""Predictions without a model; nothing here starts torch."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from distilseg.serving.predicting import Outcome
from distilseg.serving.sending import SEGMENTATION


class Stub:
    """A prediction without a model: what it becomes is told, and the answer names its attempt."""

    def __init__(self, outcomes: Sequence[Outcome] = ()) -> None:
        self.outcomes, self.asked = list(outcomes), list[set[str]]()
        self.hold = threading.Event()
        self.hold.set()

    def begin(self, images: Path, out: Path) -> Stub:
        self.asked.append({file.name for file in images.iterdir()})
        self._out, self._images = out, images
        return self

    took_s = 0.0

    def outcome(self) -> Outcome | None:
        if not self.hold.is_set():
            return None
        outcome = self.outcomes.pop(0) if self.outcomes else Outcome("answered")
        if outcome.kind == "answered":
            write_answer(self._out)
        return outcome

    def stop(self) -> None:
        pass


def write_answer(out: Path) -> None:
    """A file that can be stored as a SEG, each with a UID of its own."""
    made = Dataset()
    made.SOPClassUID, made.SOPInstanceUID = SEGMENTATION["binary"], generate_uid()
    made.StudyInstanceUID = generate_uid()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.save_as(out, enforce_file_format=True)
