"""PI-CAI 2022, the public training data as it is handed out: prostate MR and the lesions drawn by experts.

    images/10000/10000_1000000_{t2w,hbv,adc,sag,cor}.mha      patient, then patient_study_sequence
    picai_labels/csPCa_lesion_delineations/human_expert/resampled/10000_1000000.nii.gz

`images/` may be left out, or be the archives' `picai_public_images_fold0/` ... `fold4/`; `picai_labels` (a
repository) may also lie beside the folder. A patient's studies stay on one side of a split. The 205 positive
studies without an expert's drawing are unlabelled; sagittal and coronal series are passed over.

Lesions are drawn on T2W's grid; HBV and ADC are coarser, and are resampled onto it as they are read,
linearly. Label maps hold the ISUP grade, 2 to 5 (1: a machine's drawing), or 0; every value from 1 counts as
lesion, as in H-DenseFormer's converter. Its 220 cases are, by their number, those whose map is not empty.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from ...errors import UserError
from ..case import Case, Dataset, Source
from ..scans.scan import ending, stem
from .common import by_stem, check_twins, image_files

SEQUENCES = {"T2W": "t2w", "HBV": "hbv", "ADC": "adc"}  # modality -> in the file's name
LABELS = {0: "background", 1: "csPCa"}
GRADES = {2: 1, 3: 1, 4: 1, 5: 1}
DRAWN = Path("picai_labels/csPCa_lesion_delineations/human_expert/resampled")
_STUDY = re.compile(r"(\d+_\d+)_(t2w|hbv|adc|sag|cor)")


def recognises(folder: Path) -> bool:
    """Folders of patients, called by a number, whose images begin with it."""
    return folder.is_dir() and any(_by_study(patient) for patient in _patients(folder))


def read(folder: Path) -> Dataset:
    """The studies in `folder`; raises `UserError` where there are none, or a sequence or the labels lack."""
    drawn = next(
        (place / DRAWN for place in (folder, folder.resolve().parent) if (place / DRAWN).is_dir()), None
    )
    if drawn is None:
        raise UserError(
            f"{folder} has no {DRAWN}",
            "put the repository DIAGNijmegen/picai_labels there, or beside the folder",
        )
    labels = by_stem(image_files(drawn))
    cases = []
    for patient in _patients(folder):
        check_twins(image_files(patient))
        cases += [
            _case(patient, study, files, labels.get(study)) for study, files in _by_study(patient).items()
        ]
    if not cases:
        raise UserError(
            f"{folder} holds no study in the layout of PI-CAI",
            "the images are called 10000/10000_1000000_t2w.mha, with _hbv and _adc beside it",
        )
    return Dataset(
        name=folder.resolve().name,
        folder=folder,
        layout="picai",
        modalities=tuple(SEQUENCES),
        labels=dict(LABELS),
        cases=tuple(case for case in cases if case.label),
        unlabelled=tuple(case for case in cases if not case.label),
        licence="CC BY-NC 4.0",
        reference="Saha et al., Lancet Oncol. 25:879, 2024; images: doi.org/10.5281/zenodo.6517397",
    )


def _case(patient: Path, study: str, files: dict[str, Path], label: Path | None) -> Case:
    for sequence in SEQUENCES.values():
        if sequence not in files:
            there = next(iter(files.values()))
            raise UserError(
                f"{patient} is incomplete: {there.name} has no {study}_{sequence}{ending(there)} beside it",
                "unpack the archive again",
            )
    t2w = files["t2w"]
    images = {
        name: Source(files[sequence], onto=None if sequence == "t2w" else t2w)
        for name, sequence in SEQUENCES.items()
    }
    return Case(study, images, label, patient.name, GRADES)


def _patients(folder: Path) -> Iterator[Path]:
    """The patients' folders, in the order of their numbers."""
    places = [folder, folder / "images", *folder.glob("picai_public_images_fold*")]
    places += (folder / "images").glob("picai_public_images_fold*")
    patients = [
        path
        for place in places
        if place.is_dir()
        for path in place.iterdir()
        if path.name.isdigit() and path.is_dir()
    ]
    yield from sorted(patients, key=lambda path: int(path.name))


def _by_study(patient: Path) -> dict[str, dict[str, Path]]:
    """Study -> sequence -> file."""
    found: dict[str, dict[str, Path]] = {}
    for path in image_files(patient):
        match = _STUDY.fullmatch(stem(path))
        if match and match[1].startswith(patient.name + "_"):
            found.setdefault(match[1], {})[match[2]] = path
    return found
