"""Small bundles as MONAI's model zoo has them, with random weights, and what MONAI itself makes of a scan."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import monai.networks.nets as nets
import numpy as np
import torch
from monai.bundle import ConfigParser

Plain = dict[str, Any]

UNET: Plain = {
    "_target_": "UNet",
    "spatial_dims": 3,
    "in_channels": 1,
    "out_channels": 3,
    "channels": [4, 8],
    "strides": [2],
    "norm": "instance",
}
LOADED: list[Plain] = [
    {"_target_": "LoadImaged", "keys": "@image_key"},
    {"_target_": "EnsureChannelFirstd", "keys": "@image_key"},
]
SOFTMAX: Plain = {"_target_": "Activationsd", "keys": "pred", "softmax": True}
INVERTED: Plain = {
    "_target_": "Invertd",
    "keys": "pred",
    "transform": "@preprocessing",
    "orig_keys": "@image_key",
    "nearest_interp": False,
    "to_tensor": True,
}
ARGMAX: Plain = {"_target_": "AsDiscreted", "keys": "pred", "argmax": True}


def inference(
    network: Mapping[str, Any] = UNET,
    preprocessing: Sequence[Mapping[str, Any]] = (),
    inferer: Mapping[str, Any] | None = None,
    postprocessing: Sequence[Mapping[str, Any]] = (SOFTMAX, INVERTED, ARGMAX),
    **more: Any,
) -> Plain:
    """An inference.json."""
    sliding = {"_target_": "SlidingWindowInferer", "roi_size": [16, 16, 16], "overlap": 0.5}
    return {
        "imports": ["$import glob"],
        "image_key": "image",
        "device": "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')",
        "network_def": dict(network),
        "network": "$@network_def.to(@device)",
        "preprocessing": {"_target_": "Compose", "transforms": [*LOADED, *preprocessing]},
        "inferer": dict(inferer or sliding),
        "postprocessing": {"_target_": "Compose", "transforms": list(postprocessing)},
        **more,
    }


def metadata(names: Sequence[str] = ("background", "a", "b"), images: Sequence[str] = ("image",)) -> Plain:
    """A metadata.json."""

    def described(channels: Sequence[str], **more: Any) -> Plain:
        numbered = {str(n): name for n, name in enumerate(channels)}
        return {"num_channels": len(channels), "channel_def": numbered, **more}

    image = described(images, **({"modality": "MR"} if len(images) == 1 else {}))
    inner = {"inputs": {"image": image}, "outputs": {"pred": described(names)}}
    return {"version": "0.1.0", "monai_version": "1.6.1", "name": "small", "network_data_format": inner}


def bundle(folder: Path, config: Plain | None = None, about: Plain | None = None) -> Path:
    """A bundle in `folder`, with weights drawn at random."""
    config, about = config or inference(), about or metadata()
    (folder / "configs").mkdir(parents=True, exist_ok=True)
    (folder / "models").mkdir(exist_ok=True)
    (folder / "configs" / "inference.json").write_text(json.dumps(config))
    (folder / "configs" / "metadata.json").write_text(json.dumps(about))
    (folder / "LICENSE").write_text("Apache License\nVersion 2.0\n")
    arguments = {k: v for k, v in config["network_def"].items() if k != "_target_"}
    torch.manual_seed(0)
    network = getattr(nets, config["network_def"]["_target_"])(**arguments)
    for module in network.modules():
        if isinstance(getattr(module, "running_var", None), torch.Tensor):
            module.running_mean.normal_()
    torch.save(network.state_dict(), folder / "models" / "model.pt")
    return folder


def by_monai(folder: Path, image: Path | Sequence[Path]) -> dict[str, np.ndarray]:
    """The working image, logits, probabilities and labels of a trusted bundle, by MONAI's own parser."""
    parser = ConfigParser()
    parser.read_config(folder / "configs" / "inference.json")
    parser["device"] = "cpu"
    network = parser.get_parsed_content("network_def").eval()
    network.load_state_dict(torch.load(folder / "models" / "model.pt", weights_only=True))
    paths = [str(p) for p in image] if isinstance(image, list) else str(image)
    data = parser.get_parsed_content("preprocessing")({"image": paths})
    with torch.inference_mode():
        inferer = parser.get_parsed_content("inferer")
        answer = inferer(data["image"][None], network)
        answer = answer if isinstance(answer, torch.Tensor) else answer[0]
    data["pred"] = answer[0].clone()
    found = {"image": np.array(data["image"]), "logits": np.array(answer[0])}
    steps = parser.get_parsed_content("postprocessing")
    for step in steps.transforms:
        data = step(data)
        if type(step).__name__ == "Invertd":
            found["probabilities"] = np.array(data["pred"])
    found["labels"] = np.array(data["pred"])
    return found
