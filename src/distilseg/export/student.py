"""What is written for another program, of a run: its network, plan and windows, and whence it comes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from ..data.planning.plan import Plan
from ..errors import UserError
from ..functional.window_options import OPTIONS, SlabsOptions, SlicesOptions, SlidingWindowOptions, described
from ..networks.build import NetworkSpec
from ..predict import Predictor
from ..runs import Run
from .provenance import provenance


@dataclass(frozen=True)
class Student:
    """A run with its weights, on the CPU."""

    run: Run
    predictor: Predictor
    spec: NetworkSpec
    windows: SlidingWindowOptions | SlicesOptions | SlabsOptions
    made: Mapping[str, Any]  # see `provenance`

    @classmethod
    def of(cls, run: Run, predictor: Predictor, weights: Path) -> Student:
        """The student of `run` with the weights that `predictor` has from the file `weights`.

        Raises UserError for a network that makes channels of its own, which no other program would.
        """
        about = run.read(run.experiment)
        spec = NetworkSpec.from_dict(about["networks"]["student"])
        if spec.tissue_windows:
            raise UserError(
                f"{run.name} makes channels of the tissue windows of its plan, which other programs do not",
                "export it --to onnx, or train by a plan that has none",
            )
        windows: Any = described(about["inferer"], OPTIONS)
        return cls(run, predictor, spec, windows, provenance(run, weights))

    @property
    def network(self) -> nn.Module:
        """In evaluation mode."""
        return self.predictor.network.eval()

    @property
    def plan(self) -> Plan:
        """How scans are prepared."""
        return self.predictor.plan

    @property
    def regions(self) -> bool:
        """Whether its logits are of regions, and not of classes."""
        return self.predictor.answers == "regions"

    @property
    def painted(self) -> tuple[int, ...]:
        """The label value that each region is painted with, in their order."""
        return tuple(self.plan.label_values[k] for k in self.plan.paints)


@dataclass(frozen=True)
class Written:
    """What an exporter wrote."""

    values: Mapping[int, int]  # label value in the other program's label maps -> in the run's
    use: Sequence[str]  # lines of the command that predicts
    differs: Sequence[str]  # sentences: where that program does otherwise than the run
    scans: str  # how their files are called
    inside: str = ""  # the folder within a zip, as the program expects it; "": that of the zip's name
    readme: str = "README.md"  # where the card lies
