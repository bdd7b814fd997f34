"""Installs the wheel in a fresh environment, once with each extra, and does there what the extra is for.

    make try-wheel                                 # all of them: some minutes, and 3 GB at a time
    python scripts/try_wheel.py WHEEL runtime      # one

Versions are those of constraints.txt. The plain environment also gets an extra by name, as error messages
say it, which finds the package that is there already. Exit code: 0 all work, 1 at the first that does not.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import tempfile
import venv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MADE = ROOT / "tests" / "old" / "written"  # small scans, a plan, artefacts
TRAINED = f"distilseg train supervised --data {MADE}/scans --plan {MADE}/plan.json --steps 2 --no-control"
SUBMITTED = f"distilseg submit 'predict {MADE}/openvino.zip {MADE}/scans/imagesTr predictions' --parts 2"
PREDICTED = "distilseg predict {model} {scans}/imagesTr {out}"


@dataclass(frozen=True)
class Trial:
    """What is done, line by line, and which files are there in the end; `extra` may be two, by comma."""

    extra: str
    lines: Sequence[str]
    leaves: Sequence[str] = ()


def predicted(model: str | Path) -> str:
    return PREDICTED.format(model=model, scans=MADE / "scans", out="predictions")


# fsspec's store of files stands for another; s3fs itself is only imported, without a network there is no S3.
IN_STORE = "python -c 'import s3fs' && " + PREDICTED.format(
    model=MADE / "openvino.zip", scans=f"file://{MADE}/scans", out="file://$PWD/predictions"
)
# A CT of five slices beside another of two, among pydicom's own files.
SERIES = "environment/lib/python3*/site-packages/pydicom/data/test_files/dicomdirtests/98892001"
ONE_CASE = "predictions/case_0.nii.gz"
# A node that stands for the PACS, the service beside it, and a study that is sent.
SERVED = (
    "python -m pynetdicom storescp 14242 -aet PACS -od taken & PACS=$!;"
    " distilseg serve {model} --ae US --port 11112 --send-to 127.0.0.1:14242:PACS --series modality=CT"
    " --quiet-seconds 1 --once & US=$!;"
    " until python -m pynetdicom echoscu -q 127.0.0.1 11112 -aec US; do sleep 1; done;"
    " python -m pynetdicom storescu 127.0.0.1 11112 {series} -r -aec US -cx;"
    " wait $US; CODE=$?; kill $PACS; exit $CODE"
)
TRIALS: Mapping[str, Trial] = {
    "plain": Trial(
        "",
        [
            f"distilseg check {MADE}/scans",
            "pip install 'distilseg[runtime]'",
            predicted(MADE / "openvino.zip"),
        ],
        [ONE_CASE],
    ),
    "runtime": Trial("runtime", [predicted(MADE / "openvino.zip")], [ONE_CASE]),
    "dicom": Trial(
        "runtime,dicom",
        [f"distilseg predict {MADE / 'openvino.zip'} {SERIES} predictions --series modality=CT"],
        ["predictions/98892001.nii.gz"],
    ),
    "pacs": Trial("runtime,pacs", [SERVED.format(model=MADE / "openvino.zip", series=SERIES)], ["taken/*"]),
    "train": Trial("train", [TRAINED, "distilseg report runs/Old"], ["report.html"]),
    "export": Trial(
        "export",
        [TRAINED, "distilseg export runs/Old/supervised-* --to onnx --out student", predicted("student")],
        [ONE_CASE, "student/README.md"],
    ),
    "s3": Trial("runtime,s3", [IN_STORE], [ONE_CASE]),
    "dask": Trial("runtime,dask", [f"{SUBMITTED} --engine dask"], [ONE_CASE]),
    "ray": Trial("runtime,ray", [f"{SUBMITTED} --engine ray"], [ONE_CASE]),
    "tensorboard": Trial("train,tensorboard", [f"{TRAINED} --tensorboard"], ["runs/Old/*/**/events.out.*"]),
}


def try_out(wheel: Path, trial: Trial, room: Path) -> None:
    """In an environment and a folder of its own; raises where a line fails or leaves no file."""
    venv.create(room / "environment", with_pip=True)
    inside = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    inside |= {
        "PATH": f"{room / 'environment' / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "PIP_CONSTRAINT": str(ROOT / "constraints.txt"),
        "PIP_QUIET": "1",
    }
    extra = f"[{trial.extra}]" if trial.extra else ""
    for line in (f"pip install {shlex.quote(f'{wheel}{extra}')}", *trial.lines):
        print(f"$ {line}", flush=True)
        subprocess.run(line, shell=True, check=True, cwd=room, env=inside)
    for pattern in trial.leaves:
        if not any(room.glob(pattern)):
            raise FileNotFoundError(f"{pattern} was not written")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("wheel", type=Path)
    parser.add_argument("extras", nargs="*", default=list(TRIALS), help=", ".join(TRIALS))
    given = parser.parse_args(arguments)
    for name in given.extras:
        with tempfile.TemporaryDirectory(prefix="wheel-") as room:
            try:
                try_out(given.wheel.resolve(), TRIALS[name], Path(room))
            except (subprocess.CalledProcessError, FileNotFoundError) as error:
                print(f"{name}: {error}", file=sys.stderr)
                return 1
        print(f"{name}: works", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
