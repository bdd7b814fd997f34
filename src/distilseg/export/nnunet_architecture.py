"""A network of ours in the words of nnU-Net's plans; inverts `teachers.nnunet.architecture.network_of`."""

from __future__ import annotations

from typing import Any

from ..errors import UserError
from ..networks.build import NetworkSpec, describe
from ..networks.nnunet_blocks import levels_of, per_level
from ..teachers.nnunet.architecture import NETWORKS, class_name

_NONLINEARITIES = {
    "leaky_relu": "torch.nn.LeakyReLU",
    "relu": "torch.nn.ReLU",
    "gelu": "torch.nn.GELU",
    "elu": "torch.nn.ELU",
    "silu": "torch.nn.SiLU",
    "mish": "torch.nn.Mish",
    "none": None,
}
_IN_PLACE = ("leaky_relu", "relu", "elu", "silu", "mish")


def architecture_of(spec: NetworkSpec) -> dict[str, Any]:
    """What plans.json holds as `architecture`. Raises UserError for networks that nnU-Net has not."""
    if spec.name not in NETWORKS.values():
        raise UserError(
            f"nnU-Net runs networks of its own, and {spec.name} is none of them",
            f"train {' or '.join(NETWORKS.values())} (--network), or export it --to onnx",
        )
    axes = len(spec.patch)
    options = {name: option.default for name, option in describe(spec.name).options.items()}
    options |= spec.options
    strides, kernels = levels_of(
        spec.name, spec.patch, options["strides"], options["features"], options["kernels"]
    )
    levels = len(strides)
    norm, nonlinearity, dropout = options["norm"], options["nonlinearity"], options["dropout"]
    slope = {"negative_slope": options["slope"]} if nonlinearity == "leaky_relu" else {}
    arguments: dict[str, Any] = {
        "n_stages": levels,
        "features_per_stage": list(options["features"][:levels]),
        "conv_op": f"torch.nn.modules.conv.Conv{axes}d",
        "kernel_sizes": [list(kernel) for kernel in kernels],
        "strides": [list(stride) for stride in strides],
        "n_conv_per_stage_decoder": per_level(
            spec.name, "decoder_convolutions", options["decoder_convolutions"], levels - 1
        ),
        "conv_bias": options["bias"],
        "norm_op": _norm(norm, axes),
        "norm_op_kwargs": {"eps": options["epsilon"], "affine": options["affine"]},
        "dropout_op": f"torch.nn.modules.dropout.Dropout{axes}d" if dropout else None,
        "dropout_op_kwargs": {"p": dropout, "inplace": True} if dropout else None,
        "nonlin": _NONLINEARITIES[nonlinearity],
        "nonlin_kwargs": ({"inplace": True} if nonlinearity in _IN_PLACE else {}) | slope,
    }
    imported = ["conv_op", "norm_op", "dropout_op", "nonlin"]
    if spec.name == "plain_conv_unet":
        arguments["n_conv_per_stage"] = per_level(spec.name, "convolutions", options["convolutions"], levels)
        arguments["nonlin_first"] = options["norm_last"]
    else:
        arguments["n_blocks_per_stage"] = per_level(spec.name, "blocks", options["blocks"], levels)
        arguments["stem_channels"] = options["stem"] or options["features"][0]
        if options["bottleneck"] is not None:
            arguments["block"] = "dynamic_network_architectures.building_blocks.residual.BottleneckD"
            arguments["bottleneck_channels"] = per_level(
                spec.name, "bottleneck", options["bottleneck"], levels
            )
            imported.append("block")
    return {
        "network_class_name": f"dynamic_network_architectures.architectures.unet.{class_name(spec)}",
        "arch_kwargs": arguments,
        "_kw_requires_import": imported,
    }


def _norm(name: str, axes: int) -> str | None:
    if name == "none":
        return None
    module, kind = ("instancenorm", "InstanceNorm") if name == "instance" else ("batchnorm", "BatchNorm")
    return f"torch.nn.modules.{module}.{kind}{axes}d"
