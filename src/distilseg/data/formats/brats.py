"""BraTS as it is handed out (2017 to 2021): one folder per patient, its images named by modality.

    HGG/Brats18_2013_10_1/Brats18_2013_10_1_{t1,t2,t1ce,flair,seg}.nii.gz
    LGG/Brats18_2013_0_1/...

or the patients' folders without HGG and LGG. Tables that lie beside them (survival, names) are passed over.
Label 1 is the necrotic and non-enhancing core, 2 the oedema, 4 the enhancing tumour. A patient without `_seg`
is unlabelled.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ...errors import UserError
from ..case import Case, Dataset, Source
from ..scans.scan import stem
from .common import check_twins, folders_in, image_files

MODALITIES = {"T1": "t1", "T2": "t2", "T1ce": "t1ce", "FLAIR": "flair"}  # name -> in the file's name
LABELS = {0: "background", 1: "NCR/NET", 2: "ED", 4: "ET"}
GRADES = ("HGG", "LGG")


def recognises(folder: Path) -> bool:
    """Folders of patients with the four modalities, below HGG and LGG or directly."""
    return folder.is_dir() and next(_patients(folder), None) is not None


def read(folder: Path) -> Dataset:
    """The patients in `folder`; raises `UserError` where there are none, or one stands twice."""
    cases: dict[str, Case] = {}
    for patient in _patients(folder):
        check_twins(image_files(patient))
        files = _by_part(patient)
        if patient.name in cases:
            raise UserError(f"{folder} holds the patient {patient.name} twice", "keep one of the folders")
        ending = next(path.name.removeprefix(stem(path)) for path in files.values())
        images = {
            name: Source(files.get(part, patient / f"{patient.name}_{part}{ending}"))
            for name, part in MODALITIES.items()
        }
        cases[patient.name] = Case(patient.name, images, files.get("seg"), patient.name)
    if not cases:
        raise UserError(f"{folder} holds no patient in the layout of BraTS", "see `distilseg check --help`")
    return Dataset(
        name=folder.resolve().name,
        folder=folder,
        layout="brats",
        modalities=tuple(MODALITIES),
        labels=dict(LABELS),
        cases=tuple(case for case in cases.values() if case.label),
        unlabelled=tuple(case for case in cases.values() if not case.label),
        licence="as agreed with the organisers of BraTS; not to be handed on",
        reference="Menze et al., IEEE TMI 34:1993, 2015; Bakas et al., Sci. Data 4:170117, 2017",
    )


def _patients(folder: Path) -> Iterator[Path]:
    """Folders whose images are called like themselves, with a modality behind."""
    places = [folder / grade for grade in GRADES if (folder / grade).is_dir()] or [folder]
    for place in places:
        for patient in folders_in(place):
            if set(MODALITIES.values()) & set(_by_part(patient)):
                yield patient


def _by_part(patient: Path) -> dict[str, Path]:
    """t1, t2, ..., seg -> file."""
    opening = patient.name + "_"
    return {
        stem(path).removeprefix(opening).lower(): path
        for path in image_files(patient)
        if stem(path).startswith(opening)
    }
