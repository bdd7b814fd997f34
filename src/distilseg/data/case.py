"""What exists on disk: cases, their images by modality, and the dataset that names them.

A reader of any layout (`data/formats/`) returns a `Dataset`; nothing here opens an image file.
Voxel axes are I J K as stored; an affine maps voxel indices to RAS+ millimetres.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..errors import UserError, unknown


@dataclass(frozen=True)
class Source:
    """Where one modality of one case is: a file, or one channel (last axis) of a 4D file.

    Where modalities were stored on grids of their own, `onto` and `box_mm` bring them together when read.
    Of a volume, `slice` takes one slice, a scan one voxel thick.
    """

    path: Path
    channel: int | None = None
    onto: Path | None = None  # resampled onto the grid of this file
    box_mm: tuple[tuple[float, float], ...] = ()  # low, high along R, A and S: voxels beyond are 0
    slice: tuple[int, int] | None = None  # stored axis, index along it
    series: str = ""  # of a folder of DICOM: the key of one of its volumes; "": there is only one
    straight: bool = False  # and whether planes that lean are resampled to a grid with right angles

    def plain(self) -> tuple[Any, ...]:
        """For JSON; `of_plain` inverts it."""
        plain = str(self.path), self.channel, self.onto and str(self.onto), self.box_mm, self.slice
        return (*plain, self.series, self.straight) if self.series or self.straight else plain

    @classmethod
    def of_plain(
        cls,
        path: str,
        channel: int | None = None,
        onto: str | None = None,
        box_mm: Any = (),
        slice: tuple[int, int] | None = None,
        series: str = "",
        straight: bool = False,
    ) -> Source:
        """The source of these plain values."""
        box = tuple((float(low), float(high)) for low, high in box_mm)
        one = slice and (slice[0], slice[1])
        return cls(Path(path), channel, Path(onto) if onto else None, box, one, series, straight)


@dataclass(frozen=True)
class Painted:
    """A label map that lies in DICOM SEG, on the planes of a series."""

    on: Source
    values: tuple[
        tuple[Path, tuple[tuple[int, int], ...]], ...
    ]  # file: of its segments, number and label value

    @property
    def files(self) -> tuple[Path, ...]:
        """All that it is made of."""
        return tuple(path for path, _ in self.values)


@dataclass(frozen=True)
class Case:
    """One examination: its images by modality and, if it is labelled, its label map."""

    id: str
    images: Mapping[str, Source]
    label: Path | None = None
    patient: str = ""  # cases of one patient never fall on both sides of a split; "" means: its own
    merged: Mapping[int, int] = field(default_factory=dict)  # value in the label map -> what it counts as
    slice: tuple[int, int] | None = None  # of the label map too, see `Source`
    painted: Painted | None = None  # where the label map is DICOM SEG, of which `label` is the first file

    @property
    def group(self) -> str:
        """What splits keep together."""
        return self.patient or self.id

    def with_label(self, path: Path | None) -> Case:
        """The same with another file as its label map, or with none."""
        return replace(self, label=path, painted=None)

    def only_slice(self, axis: int, index: int) -> Case:
        """The case as if one slice of its volumes were all of it; `axis` is a stored one."""
        chosen = axis, index
        images = {name: replace(source, slice=chosen) for name, source in self.images.items()}
        return replace(self, images=images, slice=chosen)


@dataclass(frozen=True)
class SliceDraw:
    """How one slice of each patient was drawn, see `data/preparing/single_slices.py`."""

    view: str
    seed: int


@dataclass(frozen=True)
class Dataset:
    """A folder of labelled scans, read in place."""

    name: str
    folder: Path
    layout: str  # the reader that recognised it
    modalities: tuple[str, ...]  # the order of the image channels
    labels: Mapping[int, str]  # value in the label maps -> name; 0 is the background
    cases: tuple[Case, ...]  # the labelled ones
    unlabelled: tuple[Case, ...] = ()
    licence: str = ""
    reference: str = ""
    unknown: int | None = None  # value in the label maps of voxels that nobody labelled
    drawn: SliceDraw | None = None  # one slice of each patient's volumes is all there is
    naming: str = ""  # how a modality is called CT in this layout, as an order; "": its names are fixed
    labelled_by: str = ""  # the teacher whose answers are the label maps; "": people
    series: Mapping[str, str] = field(default_factory=dict)  # modality -> which DICOM series it is, as a rule
    codes: Mapping[str, Any] = field(default_factory=dict)  # class -> its code, of `scans/dicom/codes.py`
    notes: tuple[str, ...] = ()  # what of the folder is no case, and why

    @property
    def label_values(self) -> tuple[int, ...]:
        """Label values in ascending order; class index k stands for the k-th of them."""
        return tuple(sorted(self.labels))

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names by class index, background first."""
        return tuple(self.labels[value] for value in self.label_values)

    def case(self, id: str) -> Case:
        """The case named `id`; raises `UserError` with the known names otherwise."""
        for case in (*self.cases, *self.unlabelled):
            if case.id == id:
                return case
        raise unknown(f"case in {self.name}", id, [case.id for case in self.cases])

    def seeing(self, modalities: Sequence[str]) -> Dataset:
        """The dataset as if these were all its modalities, in its own order; raises UserError for others."""
        for name in modalities:
            if name not in self.modalities:
                raise unknown(f"modality of {self.name}", name, self.modalities)
        kept = tuple(name for name in self.modalities if name in modalities)

        def narrowed(case: Case) -> Case:
            images = {name: source for name, source in case.images.items() if name in kept}
            return replace(case, images=images)

        return replace(
            self,
            modalities=kept,
            cases=tuple(map(narrowed, self.cases)),
            unlabelled=tuple(map(narrowed, self.unlabelled)),
        )

    def of_labels(self, values: Collection[int]) -> Dataset:
        """The dataset as if these and 0 were all its label values: the others count as background."""
        labels = {value: name for value, name in self.labels.items() if value == 0 or value in values}
        if len(labels) == len(self.labels):
            return self
        others = {value: 0 for value in self.labels if value not in labels}
        cases = tuple(replace(case, merged={**case.merged, **others}) for case in self.cases)
        return replace(self, labels=labels, cases=cases)

    def hiding(self, ids: Collection[str]) -> Dataset:
        """The dataset as if nobody had labelled these cases."""
        hidden = tuple(case.with_label(None) for case in self.cases if case.id in ids)
        kept = tuple(case for case in self.cases if case.id not in ids)
        return replace(self, cases=kept, unlabelled=(*self.unlabelled, *hidden)) if hidden else self

    def __post_init__(self) -> None:
        if 0 not in self.labels:
            raise UserError(
                f"dataset {self.name}: the labels {dict(self.labels)} name no background (value 0)",
                "add the label 0: background",
            )
        if self.unknown is not None and self.unknown in self.labels:
            raise UserError(
                f"dataset {self.name}: the label value {self.unknown} is {self.labels[self.unknown]} and also"
                " the value of voxels without a label",
                "give them values of their own",
            )
