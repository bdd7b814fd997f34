"""A student as a bundle of MONAI, which `python -m monai.bundle run` and tools on it run.

configs/inference.json     see `monai_config`
configs/metadata.json      what the channels are, whence it comes
models/model.pt            the weights, and no code
LICENSE                    on what terms data and teachers came
docs/README.md             the card
"""

from __future__ import annotations

import importlib.metadata
from pathlib import Path
from typing import Any

import torch

from .. import __version__
from ..data.readable import readable_json
from .monai_config import differences, inference_of, scans_of
from .provenance import licence_notes
from .student import Student, Written

_SCHEMA = (
    "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json"
)
_CT = ("window_zscore", "range", "range_zscore_nonzero")  # kinds that take fixed units
_TERMS = """\
The weights of this bundle were made with distilseg {version}. Exporting them grants no licence: the terms of
the data and of the teachers that they learned from hold.

{notes}
"""


def write_bundle(student: Student, folder: Path, cases: int) -> Written:
    """Writes the bundle, without its card; `cases` of training. Raises UserError for what cannot be."""
    described = {
        "inference.json": inference_of(student),
        "metadata.json": _as_text(metadata_of(student, cases)),
    }
    for part in ("configs", "models", "docs"):
        (folder / part).mkdir()
    for file, told in described.items():
        (folder / "configs" / file).write_text(readable_json(told) + "\n", encoding="utf-8")
    weights = {name: weight.detach().cpu() for name, weight in student.network.state_dict().items()}
    torch.save(weights, folder / "models" / "model.pt")
    notes = "\n".join(f"- {note}" for note in licence_notes(student.made))
    (folder / "LICENSE").write_text(_TERMS.format(version=__version__, notes=notes), encoding="utf-8")
    values = student.plan.label_values
    return Written(
        {value: value for value in values},
        (
            "cd THIS_FOLDER  # pip install monai nibabel pytorch-ignite fire",
            "python -m monai.bundle run --config_file configs/inference.json --bundle_root . "
            "--dataset_dir SCANS --output_dir PREDICTIONS",
        ),
        differences(student),
        scans_of(student.plan),
        readme="docs/README.md",
    )


def metadata_of(student: Student, cases: int) -> dict[str, Any]:
    """metadata.json."""
    plan, made = student.plan, student.made
    data = made["dataset"]
    names = plan.logits_of(student.predictor.answers)
    patch = list(student.windows.patch)
    labels = ", ".join(f"{value}: {name}" for value, name in sorted(plan.labels.items()))
    return {
        "schema": _SCHEMA,
        "version": "0.1.0",
        "changelog": {"0.1.0": f"exported with distilseg {__version__}"},
        "monai_version": importlib.metadata.version("monai"),
        "pytorch_version": torch.__version__.partition("+")[0],
        "numpy_version": importlib.metadata.version("numpy"),
        "optional_packages_version": {
            "nibabel": importlib.metadata.version("nibabel"),
            "pytorch-ignite": "0.4.11",
            "fire": "0.5.0",
        },
        "name": f"{student.run.name}",
        "task": f"segmentation of {', '.join(names[not student.regions :])}",
        "description": f"A student by the recipe {made['recipe']}, on {cases} cases; made with distilseg.",
        "authors": "not stated",
        "copyright": "see LICENSE",
        "data_source": data["name"],
        "data_type": "nibabel",
        "image_classes": ", ".join(plan.modalities),
        "label_classes": labels,
        "pred_classes": ", ".join(names),
        "intended_use": "Research only. Not a medical device.",
        "references": [data["reference"]],
        "network_data_format": {
            "inputs": {
                "image": {
                    "type": "image",
                    "format": "hounsfield" if _hounsfield(student) else "magnitude",
                    "modality": plan.modalities[0] if len(plan.modalities) == 1 else "n/a",
                    "num_channels": len(plan.modalities),
                    "spatial_shape": patch,
                    "spacing_mm": list(plan.spacing_mm),
                    "dtype": "float32",
                    "value_range": [],
                    "is_patch_data": True,
                    "channel_def": {str(n): name for n, name in enumerate(plan.modalities)},
                }
            },
            "outputs": {
                "pred": {
                    "type": "image",
                    "format": "segmentation",
                    "num_channels": len(names),
                    "spatial_shape": patch,
                    "dtype": "float32",
                    "value_range": [],
                    "is_patch_data": True,
                    "channel_def": {str(n): name for n, name in enumerate(names)},
                }
            },
        },
    }


def _as_text(value: Any) -> Any:
    """Plain values in which no text of others is an expression, a reference or a macro to MONAI's parser."""
    if isinstance(value, dict):
        return {key: _as_text(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_as_text(inner) for inner in value]
    return f" {value}" if isinstance(value, str) and value[:1] in ("$", "@", "%") else value


def _hounsfield(student: Student) -> bool:
    hows = student.plan.normalisation.values()
    return all(how.kind in _CT and (how.low or 0) < 0 for how in hows)
