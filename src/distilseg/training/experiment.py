"""Experiment: one value that describes a run completely, before anything heavy is loaded.

A recipe returns it, `trained()` carries it out, the run folder records it. Two experiments with the same
identity are the same run; changing anything that matters changes the identity and so the run's name.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from ..data.case import Dataset
from ..data.planning.plan import Plan
from ..data.planning.splits import Split
from ..data.sampling.augmentation import PRESETS
from ..errors import UserError, unknown
from ..networks.build import NetworkSpec, describe
from ..runs import open_run
from .budget import Budget
from .schedule import SCHEDULES
from .setting import Setting, check

if TYPE_CHECKING:
    from ..distillation.method import Method
    from .foreign import Foreign

Padding = Literal["edge", "reflect", "zero"]
Answers = Literal["classes", "regions"]
TeacherOutputs = Literal["live", "recorded", "auto"]
FeatureShapes = Mapping[str, tuple[int, ...]]  # feature name -> [B C *s]
# Shapes by role -> objective; where prototypes are needed, their file comes second.
MakeMethod = Callable[..., "Method"]


# Part of every run's name: raised when the same settings train otherwise, so that no run of before is found.
TRAINS_AS = "0.1.0"


@dataclass(frozen=True)
class Study:
    """What runs that are to be compared share: the dataset, how it is prepared, how it is split, the seed."""

    dataset: Dataset
    plan: Plan
    split: Split
    seed: int = 0
    subjects: int | None = None  # so many were drawn to train on; None: all that there are
    unlabelled: tuple[str, ...] = ()  # cases without a label map that a teacher's answers are learned from
    unlabelled_from: tuple[str, ...] = ()  # where they were named to be, for the record

    def network(
        self,
        name: str,
        options: Mapping[str, Any] | None = None,
        answers: Answers = "classes",
        sees: Sequence[str] = (),
    ) -> NetworkSpec:
        """The network `name` for the modalities that it `sees`, (): all, for these classes and this patch.

        It is strided as planned if it lets one, and shown the tissue windows that the plan names.
        """
        plan, given, known = self.plan, dict(options or {}), describe(name).options
        if "strides" in known:
            given.setdefault("strides", [list(stride) for stride in plan.network_strides])
        logits = len(plan.classes) if answers == "classes" else len(plan.regions)
        if not logits:
            raise UserError(
                "the plan names no regions", 'add them, such as "regions": {"WT": [1, 2, 4], "TC": [1, 4]}'
            )
        windows = plan.network_tissue_windows(sees)
        if windows and "drop_modalities" in known:
            raise UserError(
                f"{name} is shown any of the scans, and a tissue window is of one that may be missing",
                "leave the tissue windows out of the plan, or take another network",
            )
        channels = len(sees or plan.modalities)
        return NetworkSpec(name, channels, logits, plan.network_patch, given, windows)


@dataclass(frozen=True)
class Sampling:
    """How patches are drawn from the prepared cases."""

    batch_size: Annotated[int, Setting("Patches in a step, over all devices.", least=1)] = 2
    patches_per_case: Annotated[int, Setting("In an epoch.", least=1)] = 2
    foreground_fraction: Annotated[float, Setting("Patches around a structure.", least=0, most=1)] = 0.67
    pad: Padding = "edge"  # how volumes smaller than the patch are filled
    augmentation: Annotated[str, Setting(choices=PRESETS)] = "light"
    flip_axes: Annotated[
        tuple[int, ...] | None,
        Setting(
            "Axes to mirror, or none; leave out left-right (0) where sides are labelled.", metavar="I,J,K"
        ),
    ] = None  # None: those of the plan
    unlabelled_share: Annotated[
        float | None, Setting("Of the patches, those of cases without labels.", least=0, most=1)
    ] = None  # None: as many as they are of the cases, at most 0.9
    # Patches are the same for any number.
    workers: Annotated[int, Setting("Processes that draw patches.", least=0)] = 0

    def __post_init__(self) -> None:
        check(self)
        if strange := set(self.flip_axes or ()) - {0, 1, 2}:
            raise UserError(f"flip axes: a patch has no axis {min(strange)}", "give some of 0, 1 and 2")


# sgd: momentum 0.99, Nesterov; momentum: SGD with 0.9.
OPTIMIZERS = ("adamw", "adam", "sgd", "momentum")


@dataclass(frozen=True)
class Optimisation:
    """How weights are updated."""

    optimizer: Annotated[str, Setting(choices=OPTIMIZERS)] = "adamw"
    learning_rate: Annotated[float, Setting("Where the schedule begins.")] = 1e-3
    weight_decay: Annotated[float, Setting("Pulls weights towards 0.", least=0)] = 1e-5
    schedule: Annotated[str, Setting(choices=SCHEDULES)] = "cosine"
    warmup: Annotated[float, Setting("Fraction of the budget.", least=0, most=1)] = 0.0
    plateau_patience: Annotated[
        int, Setting("Of the schedule plateau: validations before the rate falls.", least=1)
    ] = 50  # validations without a new best
    plateau_factor: Annotated[float, Setting("... by this factor.")] = 0.2
    clip: Annotated[float | None, Setting("Largest gradient norm; 0: none.", least=0, none=0)] = 12.0
    accumulate: Annotated[int, Setting("Batches per step.", least=1)] = 1
    ema: Annotated[float, Setting("Decay of averaged weights.", least=0, most=1)] = 0.0  # 0: none are kept

    def __post_init__(self) -> None:
        check(self)
        if self.ema == 1:
            raise UserError(f"the decay of averaged weights is {self.ema}", "give a number from 0 to below 1")
        if not 0 < self.plateau_factor < 1:
            raise UserError(f"the plateau's factor is {self.plateau_factor}", "give a number between 0 and 1")
        if not self.learning_rate > 0:
            raise UserError(f"the learning rate is {self.learning_rate}", "give a number above 0")


@dataclass(frozen=True)
class Validation:
    """When the student is judged on the validation cases, and when a run that no longer improves ends."""

    validations: Annotated[int, Setting("Over the budget.", least=1)] = 10  # evenly
    each_epoch: bool = False  # after every epoch instead, where the budget says how many there are
    validation_cases: Annotated[int | None, Setting("At most.", least=1)] = None  # None: all
    patience: Annotated[int | None, Setting("Stop after this many without a new best.", least=1)] = None

    def __post_init__(self) -> None:
        check(self)

    def count(self, budget: Budget, steps_per_epoch: int) -> int:
        """How many validations the budget holds."""
        steps = budget.total_steps(steps_per_epoch)
        if not self.each_epoch or steps is None:
            return self.validations
        return max(1, round(steps / steps_per_epoch))


def file_digest(path: Path) -> str:
    """A digest of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def _own_code(spec: NetworkSpec) -> str:
    """A digest of the user's own file that holds the network: an edit makes another run."""
    path, colon, _ = spec.name.rpartition(":")
    return file_digest(Path(path)) if colon and Path(path).is_file() else ""


@dataclass(frozen=True)
class Finished:
    """A teacher that was trained before: a run folder of the user's choice."""

    folder: Path

    @property
    def identity(self) -> dict[str, Any]:
        """The run and its weights' content."""
        weights = open_run(self.folder).best
        if not weights.is_file():
            raise UserError(
                f"the teacher {self.folder} has no trained weights yet",
                "repeat its `distilseg train` command, it resumes",
            )
        return {"run": self.folder.name, "weights": file_digest(weights)}


@dataclass(frozen=True)
class Continued:
    """Training that goes on from the best weights of another run of the same student."""

    run: Experiment | Finished
    budget_share: float = 1.0  # of the budget that is given, which the other run has whole
    rate_share: float = 1.0  # of the learning rate

    @property
    def identity(self) -> dict[str, Any]:
        """The run whose weights are the first; budget and rate are in the experiment's own."""
        return self.run.identity


@dataclass(frozen=True)
class Prototypes:
    """Prototypes of a network of another dataset, fitted when it is trained; see `fit_prototypes`."""

    teacher: Experiment | Finished
    options: Mapping[str, Any] = field(default_factory=dict)  # of the fit

    @property
    def identity(self) -> dict[str, Any]:
        """Whose, and how they are fitted."""
        return {"teacher": self.teacher.identity, "options": dict(self.options)}


@dataclass(frozen=True)
class Experiment:
    """A run: a study, the networks that take part, what is minimised, and how."""

    recipe: str
    study: Study
    networks: Mapping[str, NetworkSpec]  # the trained ones by role; "student" always
    method: MakeMethod
    budget: Budget
    options: Mapping[str, Any] = field(default_factory=dict)  # of the recipe, defaults included
    asked: Mapping[str, Any] = field(default_factory=dict)  # options and settings given, for the record
    answers: Answers = "classes"  # what the logits are of: the plan's classes (softmax) or regions (sigmoid)
    sees: tuple[str, ...] = ()  # modalities that the student is shown, in this order; (): all
    teachers: Mapping[str, Experiment | Finished | Foreign] = field(
        default_factory=dict
    )  # frozen roles: whose student plays them
    teacher_outputs: TeacherOutputs = "live"  # teachers run at each step, or were recorded once per case
    prototypes: Prototypes | Path | None = None  # of another dataset's classes; a path: fitted before
    continues: Continued | None = None  # the run whose weights are the first
    control: Experiment | None = None  # the undistilled student
    views: tuple[Experiment, ...] = ()  # the same for other views of the volume; all are fused
    fuse: str = "vote"  # how
    source: str = ""  # a digest of the user's own file that holds the recipe; "" for ours
    sampling: Sampling = Sampling()
    optimisation: Optimisation = Optimisation()
    validation: Validation = Validation()
    inferer: Mapping[str, Any] = field(default_factory=dict)
    empty: str = "nan"  # what metrics are worth where a structure is empty, see evaluation/empty.py

    @property
    def seen(self) -> tuple[str, ...]:
        """The modalities that the student is shown."""
        return self.sees or self.study.plan.modalities

    @property
    def identity(self) -> dict[str, Any]:
        """All that determines the trained weights, as plain values."""
        study = self.study
        return {
            "recipe": self.recipe,
            "options": dict(self.options),
            "dataset": {
                "name": study.dataset.name,
                "modalities": list(study.dataset.modalities),
                **({"one_slice_per_subject": asdict(drawn)} if (drawn := study.dataset.drawn) else {}),
                **({"labelled_by": teacher} if (teacher := study.dataset.labelled_by) else {}),
            },
            "plan": study.plan.model_dump(mode="json"),
            "split": asdict(study.split),
            "seed": study.seed,
            "sees": list(self.seen),
            "answers": self.answers,
            "teacher_outputs": self.teacher_outputs if self.teachers else None,
            "networks": {role: spec.to_dict() for role, spec in self.networks.items()},
            "teachers": {role: teacher.identity for role, teacher in self.teachers.items()},
            **self._grown_from,
            **({"unlabelled": list(study.unlabelled)} if study.unlabelled else {}),
            "sampling": {k: v for k, v in asdict(self.sampling).items() if k not in self._idle},
            "optimisation": asdict(self.optimisation),
            "validation": asdict(self.validation),
            "budget": asdict(self.budget),
            "inferer": dict(self.inferer),
            "version": TRAINS_AS,
            "own_code": [self.source, *(_own_code(spec) for spec in self.networks.values())],
        }

    @property
    def _idle(self) -> tuple[str, ...]:
        """Fields of the sampling that change no weight of this run."""
        return ("workers",) if self.study.unlabelled else ("workers", "unlabelled_share")

    @property
    def _grown_from(self) -> dict[str, Any]:
        """What else its weights come from, where they do."""
        found: dict[str, Any] = {}
        if isinstance(self.prototypes, Path):
            found["prototypes"] = file_digest(self.prototypes)
        elif self.prototypes is not None:
            found["prototypes"] = self.prototypes.identity
        if self.continues is not None:
            found["continues"] = self.continues.identity
        return found

    def run_name(self, content: str = "") -> str:
        """`recipe-hash`; `content` is a digest of the scans it learns from."""
        return f"{self.recipe}-{self._digest(content)}"

    @property
    def key(self) -> str:
        """A digest of the identity, which tells runs apart before any scan is read; recorded in the run."""
        return self._digest("")

    def _digest(self, content: str) -> str:
        text = json.dumps([self.identity, content], sort_keys=True, default=str)
        return hashlib.blake2b(text.encode(), digest_size=4).hexdigest()

    def with_settings(self, budget: Budget | None = None, **settings: Any) -> Experiment:
        """The same experiment, its control and the teachers it trains, with another budget or settings.

        `settings` names fields of `Sampling`, `Optimisation` and `Validation`. A teacher that should have
        others is trained by a command of its own and given as a finished run. A teacher of another dataset,
        whose prototypes are taken, is given the budget alone; a run that continues another takes its share.
        """
        parts: dict[str, Any] = {
            name: getattr(self, name) for name in ("sampling", "optimisation", "validation")
        }
        known = {field.name: part for part, value in parts.items() for field in fields(value)}
        for name, value in settings.items():
            if name not in known:
                raise unknown("setting", name, known)
            parts[known[name]] = replace(parts[known[name]], **{name: value})
        continues, prototypes = self.continues, self.prototypes
        if continues is not None:
            if isinstance(continues.run, Experiment):
                continues = replace(continues, run=continues.run.with_settings(budget, **settings))
            if "learning_rate" in settings:
                parts["optimisation"] = replace(
                    parts["optimisation"], learning_rate=settings["learning_rate"] * continues.rate_share
                )
        if isinstance(prototypes, Prototypes) and isinstance(prototypes.teacher, Experiment):
            prototypes = replace(prototypes, teacher=prototypes.teacher.with_settings(budget))
        control = self.control and self.control.with_settings(budget, **settings)
        teachers = {
            role: teacher.with_settings(budget, **settings) if isinstance(teacher, Experiment) else teacher
            for role, teacher in self.teachers.items()
        }
        views = tuple(view.with_settings(budget, **settings) for view in self.views)
        own_budget = budget or self.budget
        if budget is not None and continues is not None:
            own_budget = budget.part(continues.budget_share)
        asked = {**self.asked, **settings}
        return replace(
            self,
            budget=own_budget,
            control=control,
            teachers=teachers,
            views=views,
            prototypes=prototypes,
            continues=continues,
            asked=asked,
            **parts,
        )
