"""A run or an artefact of ours as a teacher for networks of another plan: recorded like those of others."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..data.planning.plan import Plan
from ..data.preparing.grid import Grid, make_grid
from ..data.scans.scan import Scan
from ..errors import UserError
from ..runs import Run, open_run, seen_cases
from ..runtime.artefact import DESCRIPTION, Artefact, is_artefact, open_artefact
from ..runtime.predictor import ArtefactPredictor
from ..runtime.views import ArtefactViews, load_shipped
from .identity import digest_of, file_digest, only, preparation, summary
from .restoring import probabilities_of
from .showing import in_order
from .teacher import Activation, Answer, Head, Labels, Placement, Provenance, TeacherOptions

if TYPE_CHECKING:
    from ..predict import Predictor


@dataclass(frozen=True, eq=False)
class RunTeacher:
    """A predictor of ours that answers for whole scans."""

    name: str
    predictor: Predictor | ArtefactPredictor | ArtefactViews
    answers: str  # "classes" or "regions"
    provenance: Provenance
    digest: str
    described: Mapping[str, Any]  # for people
    seen: tuple[str, ...] = ()  # cases of its dataset that shaped it; () where that is not known

    @property
    def plan(self) -> Plan:
        """How it prepares scans, and what its labels are."""
        return self.predictor.plan

    @property
    def modalities(self) -> tuple[str, ...]:
        """What it is shown, in its order."""
        return self.plan.modalities

    @property
    def heads(self) -> tuple[Head, ...]:
        """Classes, the background first, or regions."""
        if self.answers == "regions":
            return tuple(Head(name, values) for name, values in self.plan.regions.items())
        return tuple(Head(self.plan.labels[value], (value,)) for value in self.plan.label_values)

    @property
    def activation(self) -> Activation:
        """Of classes softmax, of regions sigmoid."""
        return "sigmoid" if self.answers == "regions" else "softmax"

    def summary(self) -> dict[str, Any]:
        """What it is, in plain values."""
        return summary(self, **preparation(self.plan), **self.described)

    def answer(self, scans: Mapping[str, Scan], *, case: str) -> Answer:
        """Its logits [K *W] on the plan's grid."""
        prepared = self.predictor.prepare(self._shown(scans, case), case=case)
        logits = np.asarray(self.predictor.logits(prepared.image, case=case), np.float32)
        return Answer(logits, Placement.of_grid(prepared.grid), self.activation)

    def labels(self, answer: Answer, scans: Mapping[str, Scan]) -> Labels:
        """The label map that `distilseg predict` writes."""
        if isinstance(self.predictor, ArtefactPredictor | ArtefactViews):
            return self.predictor.labels(answer.logits, self._grid(scans))
        import torch

        found: Labels = self.predictor.labels(torch.from_numpy(answer.logits), self._grid(scans))
        return found

    def probabilities(self, answer: Answer, scans: Mapping[str, Scan]) -> NDArray[np.float32]:
        """Of interpolated logits [K I J K]."""
        return probabilities_of(answer)

    def _shown(self, scans: Mapping[str, Scan], case: str) -> dict[str, Scan]:
        return dict(zip(self.modalities, in_order(scans, self.modalities, case=case), strict=True))

    def _grid(self, scans: Mapping[str, Scan]) -> Grid:
        return make_grid(list(self._shown(scans, self.name).values()), self.plan, case=self.name)


def recognises(path: Path) -> bool:
    """Whether `path` is a run folder, or an artefact: a folder, or a zip with an artefact.json."""
    if path.is_dir():
        return Run(path).experiment.is_file() or is_artefact(path)
    if not is_artefact(path):
        return False
    try:
        with zipfile.ZipFile(path) as packed:
            return any(name.rpartition("/")[2] == DESCRIPTION for name in packed.namelist())
    except (zipfile.BadZipFile, OSError):
        return False


def open_as_teacher(path: Path, options: TeacherOptions) -> RunTeacher:
    """The run or artefact at `path`. Raises `UserError` for one without trained weights, and for several runs
    whose label maps vote, which have no logits in common."""
    only(options, "runs and artefacts of ours", ())
    return _of_artefact(path, options) if is_artefact(path) else _of_run(path, options)


def _of_run(path: Path, options: TeacherOptions) -> RunTeacher:
    from ..predict import load_predictor

    run = open_run(path)
    about = run.read(run.experiment)
    if "fusion" in about:
        raise UserError(f"{path} is of several runs", "name its runs as teachers, one by one")
    trust = next((name for name in options.trust if ".py:" in name), None)
    predictor = load_predictor(path, device=options.device, trust=trust)
    digests = {file.name: file_digest(file) for file in (run.best, run.plan)}
    network, data = about["networks"]["student"], about.get("dataset", {})
    parameters = sum(parameter.numel() for parameter in predictor.network.parameters())
    window = about["inferer"]
    return RunTeacher(
        name=run.name,
        predictor=predictor,
        answers=predictor.answers,
        provenance=Provenance(
            kind="run of distilseg",
            files=digests,
            network=f"{network['name']}, {parameters:,} parameters",
            trainer=Path(str(about.get("recipe", ""))).name,
            dataset=str(data.get("name") or ""),
            licence=str(data.get("licence") or ""),
            reference=str(data.get("reference") or ""),
        ),
        digest=digest_of("run", digests, window, predictor.answers),
        described={"inferer": window},
        seen=tuple(sorted(seen_cases(run))),
    )


def _of_artefact(path: Path, options: TeacherOptions) -> RunTeacher:
    artefact = open_artefact(path)
    about = artefact.about
    if about.preparation != "plan":
        raise UserError(
            f"{path} is a model of others as an artefact, without what a teacher tells of it",
            "give the model that it was exported from",
        )
    if about.fusion.get("how") == "vote":
        raise UserError(
            f"{path} is of several networks whose label maps vote", "export its runs and name them one by one"
        )
    made = about.made
    views = made.get("views") or [made]
    data = made.get("dataset") or {}
    return RunTeacher(
        name=about.name,
        predictor=_predictor(artefact, options),
        answers=about.answers,
        provenance=Provenance(
            kind=f"artefact of distilseg, {about.target}",
            files=dict(about.files),
            network=", ".join(str((view.get("network") or {}).get("name", "")) for view in views),
            trainer=str(made.get("recipe") or ""),
            dataset=str(data.get("name") or ""),
            licence=str(data.get("licence") or ""),
            reference=str(data.get("reference") or ""),
        ),
        digest=digest_of("artefact", dict(about.files), about.inferer, about.fusion),
        described={"inferer": about.inferer, "target": about.target},
    )


def _predictor(artefact: Artefact, options: TeacherOptions) -> Predictor | ArtefactPredictor | ArtefactViews:
    if artefact.about.engine == "torch":
        trust = next((name for name in options.trust if ".py:" in name), None)
        from ..predict import load_torch_artefact

        return load_torch_artefact(artefact, device=options.device, trust=trust)
    loaded = load_shipped(artefact, threads=options.threads or 0, device=options.device)
    assert isinstance(loaded, ArtefactPredictor | ArtefactViews)
    return loaded
