"""Fills a folder with all that `scripts/on_a_gpu.py` needs on a machine without a network.

    python scripts/for_a_gpu.py FOLDER --data Task04_Hippocampus
    python scripts/for_a_gpu.py FOLDER --data Task04_Hippocampus --python 3.12 --there packages.txt

FOLDER/wheels gets wheels for Linux on x86-64, FOLDER/data a copy of the scans. The wheels are what training,
judging and the export's tests need, in the versions of constraints.txt; without torch, which must be there.
Packages that the machine has too are left out by name: `--there numpy,scipy`, or a file that lists them, such
as what `pip list` printed there. SimpleITK, OpenVINO and Matplotlib are large and not taken: these scans are
NIfTI on their own grid, export is tested with ONNX, and pictures are drawn elsewhere.

Run it where the project is installed; its installed packages say what needs what.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
from collections.abc import Collection, Sequence
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WANTED = (
    "monai",
    "nibabel",
    "pydantic",
    "lightning-fabric",
    "einops",
    "scipy",
    "safetensors",
    "platformdirs",
)
WANTED += ("jinja2", "pyyaml", "rich", "typer", "pytest", "onnx", "onnxscript", "onnxruntime")
TORCH = "torch"
PLATFORMS = (
    "manylinux_2_28",
    "manylinux_2_27",
    "manylinux_2_24",
    "manylinux_2_17",
    "manylinux2014",
    "manylinux1",
)
LARGE = 64  # MiB


def needed(wanted: Collection[str], there: Collection[str], python: str) -> dict[str, str]:
    """Name -> version of what is wanted and of what that needs; torch and what is there lead no further."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    known = {canonicalize_name(name) for name in (*there, TORCH)}
    machine = {
        "python_version": python,
        "python_full_version": f"{python}.0",
        "sys_platform": "linux",
        "extra": "",
    }
    machine |= {"platform_system": "Linux", "platform_machine": "x86_64"}
    found: dict[str, str] = {}
    waiting = [canonicalize_name(name) for name in wanted]
    while waiting:
        name = waiting.pop()
        if name in known or name in found:
            continue
        package = metadata.distribution(name)
        found[name] = package.version
        for line in package.requires or ():
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate(machine):
                waiting.append(canonicalize_name(requirement.name))
    return dict(sorted(found.items()))


def names_in(told: str) -> list[str]:
    """`numpy,scipy`, or the first word of each line of a file."""
    path = Path(told)
    if not path.is_file():
        return [name for name in told.split(",") if name]
    words = (re.match(r"[A-Za-z0-9][A-Za-z0-9._-]*", line) for line in path.read_text("utf-8").splitlines())
    return [word[0] for word in words if word]


def fetch(packages: dict[str, str], python: str, folder: Path) -> None:
    """Their wheels, by pip; raises CalledProcessError where there is none for that machine."""
    platforms = [word for tag in PLATFORMS for word in ("--platform", f"{tag}_x86_64")]
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:", *platforms]
    command += ["--python-version", python, "--implementation", "cp", "--dest", str(folder)]
    subprocess.run([*command, *(f"{name}=={version}" for name, version in packages.items())], check=True)


def mebibytes(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 2**20


def main(arguments: Sequence[str] | None = None) -> int:
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="folder of the scans")
    parser.add_argument("--python", default="3.12", help="of that machine (default: 3.12)")
    parser.add_argument("--there", default="", help="names by comma, or a file: packages that it has")
    parser.add_argument("--list", action="store_true", help="only say which wheels are needed")
    given = parser.parse_args(arguments)
    if not (given.data / "dataset.json").is_file():
        parser.error(f"{given.data} is no dataset: there is no dataset.json in it")
    packages = needed(WANTED, names_in(given.there), given.python)
    if given.list:
        print("\n".join(f"{name}=={version}" for name, version in packages.items()))
        return 0
    wheels, data = given.folder / "wheels", given.folder / "data" / given.data.name
    wheels.mkdir(parents=True, exist_ok=True)
    fetch(packages, given.python, wheels)
    shutil.copytree(given.data, data, copy_function=shutil.copyfile, dirs_exist_ok=True)
    total, sizes = mebibytes(given.folder), (mebibytes(wheels), mebibytes(data))
    print(f"{given.folder}: {len(packages)} wheels of {sizes[0]:.0f} MiB, scans of {sizes[1]:.0f} MiB")
    if total > LARGE:
        print(f"that is more than {LARGE} MiB: name what the machine has with --there, scipy and numpy first")
    print(f"python scripts/on_a_gpu.py {wheels} {data} OUT --minutes 12")
    return 0


if __name__ == "__main__":
    sys.exit(main())
