"""A prediction in a process of its own: a study that ends it ends nothing else."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ..errors import UserError

PROCESS = "distilseg.serving.predict_process"
_PACKAGES = str(Path(__file__).resolve().parents[2])
# What people typed into a series' description, as `Series.told` quotes it.
_TYPED = re.compile(r"""description=('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")""")

_LOOKS_S = 0.02

Kind = Literal["answered", "refused", "waits", "crashed"]


@dataclass(frozen=True)
class Outcome:
    """What became of a prediction."""

    kind: Kind
    why: str = ""

    @property
    def loggable(self) -> str:
        """Why, without what anybody typed at the scanner: a log is read by more people than a spool."""
        return _TYPED.sub("description=...", self.why)


@dataclass(frozen=True)
class Predictions:
    """How every study is predicted."""

    artefact: Path
    kind: str = "binary"
    codes: Path | None = None
    series: tuple[str, ...] = ()
    tilt: str = "refuse"
    threads: int = 0
    device: str = "auto"
    limit_s: float = 3600.0

    def told(self) -> dict[str, Any]:
        """All that an answer depends on, but for the artefact's content."""
        return {"kind": self.kind, "codes": _content(self.codes), "series": self.series, "tilt": self.tilt}

    def check(self) -> None:
        """Loads all that a prediction takes, as one does; raises `UserError` for what is not there."""
        begun = self.begin(None, Path())
        while (outcome := begun.outcome()) is None:
            time.sleep(_LOOKS_S)
        if outcome.kind != "answered":
            raise UserError(f"{self.artefact} cannot be used: {outcome.why}")

    def begin(self, images: Path | None, out: Path) -> Prediction:
        """Starts to predict the images in a folder as DICOM SEG `out`."""
        asked = {
            "artefact": str(self.artefact.absolute()),
            "images": str(images.absolute()) if images else None,
            "out": str(out.absolute()),
            "kind": self.kind,
            "codes": str(self.codes.absolute()) if self.codes else None,
            "series": list(self.series),
            "tilt": self.tilt,
            "threads": self.threads,
            "device": self.device,
        }
        return Prediction(asked, self.limit_s)


@dataclass
class Prediction:
    """One that was begun."""

    asked: Mapping[str, Any]
    limit_s: float
    began_s: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        known = os.environ.get("PYTHONPATH")
        # -P: the folder that the service is in may hold anything, a numpy.py too.
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", PROCESS],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([_PACKAGES, *([known] if known else [])])},
        )
        assert self._process.stdin is not None
        with suppress(OSError):  # it has ended already, which `outcome` sees
            self._process.stdin.write(json.dumps(self.asked).encode() + b"\n")
            self._process.stdin.flush()

    @property
    def took_s(self) -> float:
        """Since it was begun."""
        return time.monotonic() - self.began_s

    def outcome(self) -> Outcome | None:
        """What became of it; None while it runs."""
        code = self._process.poll()
        if code is None:
            if self.took_s < self.limit_s:
                return None
            self.stop()
            return Outcome("crashed", f"it took longer than {self.limit_s / 60:g} minutes")
        assert self._process.stdout is not None
        said = self._process.stdout.read()
        self.stop()
        if code or not said.endswith(b"\n"):
            name = signal.Signals(-code).name if -code in set(signal.Signals) else f"code {code}"
            return Outcome("crashed", f"its process ended by {name}")
        told = json.loads(said)
        (kind,) = told
        return Outcome(kind, "" if kind == "answered" else str(told[kind]))

    def stop(self) -> None:
        """Ends it, and waits until it has."""
        self._process.kill()
        self._process.wait()
        for end in (self._process.stdin, self._process.stdout):
            if end is not None:
                with suppress(OSError):
                    end.close()


def _content(file: Path | None) -> str | None:
    if file is None:
        return None
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise UserError(f"{file} cannot be read", "correct --codes") from None
