"""The network that plans name, as one of ours; and whether a checkpoint's weights are of that network.

Class names are looked up by their last component in fixed tables. Trainers of others build networks of their
own and leave the plans as they were, so plans prove nothing: weights are compared name by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ...errors import UserError, unknown
from ...networks.build import NetworkSpec, build
from .plans import Configuration

if TYPE_CHECKING:
    from ..checkpoint import Stored

NETWORKS = {"PlainConvUNet": "plain_conv_unet", "ResidualEncoderUNet": "residual_encoder_unet"}
_CONVOLUTIONS = {"Conv2d": 2, "Conv3d": 3}
_NORMS = {
    "InstanceNorm2d": "instance",
    "InstanceNorm3d": "instance",
    "BatchNorm2d": "batch",
    "BatchNorm3d": "batch",
}
_NONLINEARITIES = {
    "LeakyReLU": "leaky_relu",
    "ReLU": "relu",
    "GELU": "gelu",
    "ELU": "elu",
    "SiLU": "silu",
    "Mish": "mish",
}
_BLOCKS = ("BasicBlockD", "BottleneckD")
_DROPOUTS = ("Dropout", "Dropout2d", "Dropout3d")
_KEYS = {
    *("n_stages", "features_per_stage", "conv_op", "kernel_sizes", "strides", "n_conv_per_stage_decoder"),
    *("conv_bias", "norm_op", "norm_op_kwargs", "dropout_op", "dropout_op_kwargs", "nonlin", "nonlin_kwargs"),
    "deep_supervision",
}
_OWN_KEYS = {
    "PlainConvUNet": {"n_conv_per_stage", "nonlin_first"},
    "ResidualEncoderUNet": {"n_blocks_per_stage", "stem_channels", "bottleneck_channels", "block"},
}
_OTHER = "only nnU-Net's own two networks can be rebuilt; give answers of this model as files instead"


def network_of(configuration: Configuration, inputs: int, heads: int, source: str) -> NetworkSpec:
    """The network of ours that computes what the plans' does; `source` is the plans' name, for errors."""
    kind, values = _named(configuration.architecture, source)
    strange = [
        key for key in values if key not in _KEYS | _OWN_KEYS[kind] and values[key] not in (None, False)
    ]
    if strange:
        raise UserError(f"{source}: {kind} has the option {strange[0]!r}, which is not known", _OTHER)
    axes = len(configuration.patch)
    if _looked_up(values.get("conv_op"), _CONVOLUTIONS, "convolution", source) != axes:
        raise UserError(
            f"{source}: the network has {values['conv_op']}, the patch {axes} axes", "copy plans.json again"
        )
    levels = _whole(values.get("n_stages"), "n_stages", source, most=20)
    norm = values.get("norm_op_kwargs") or {}
    nonlinear = values.get("nonlin_kwargs") or {}
    options: dict[str, Any] = {
        "features": _each(values.get("features_per_stage"), levels, "features_per_stage", source),
        "strides": _strides(values.get("strides"), levels, source),
        "kernels": _each(values.get("kernel_sizes"), levels, "kernel_sizes", source),
        "decoder_convolutions": _each(
            values.get("n_conv_per_stage_decoder"), levels - 1, "n_conv_per_stage_decoder", source
        ),
        "bias": bool(values.get("conv_bias", False)),
        "norm": _looked_up(values.get("norm_op"), _NORMS, "norm", source),
        "epsilon": float(norm.get("eps", 1e-5)),
        "affine": bool(norm.get("affine", "Batch" in str(values.get("norm_op")))),
        "nonlinearity": _looked_up(values.get("nonlin"), _NONLINEARITIES, "nonlinearity", source),
        "slope": float(nonlinear.get("negative_slope", 0.01)),
        "dropout": _dropout(values, source),
    }
    for given, known, of in (
        (norm, {"eps", "affine", "momentum"}, "norm_op_kwargs"),
        (nonlinear, {"inplace", "negative_slope"}, "nonlin_kwargs"),
    ):
        odd = [key for key in given if key not in known and given[key] not in (None, False)]
        if odd:
            raise UserError(f"{source}: {of} has the option {odd[0]!r}, which is not known", _OTHER)
    if kind == "PlainConvUNet":
        options["convolutions"] = _each(values.get("n_conv_per_stage"), levels, "n_conv_per_stage", source)
        options["norm_last"] = bool(values.get("nonlin_first", False))
    else:
        options["blocks"] = _each(values.get("n_blocks_per_stage"), levels, "n_blocks_per_stage", source)
        options |= _residual(values, levels, source)
    return NetworkSpec(NETWORKS[kind], inputs, heads, configuration.patch, options)


def class_name(spec: NetworkSpec) -> str:
    """What nnU-Net calls a network of ours."""
    return next(theirs for theirs, ours in NETWORKS.items() if ours == spec.name)


def fitted(spec: NetworkSpec, weights: Mapping[str, Stored], file: str, trainer: str) -> NetworkSpec:
    """The network that takes exactly these weights. Raises `UserError`, naming the first that differs.

    nnU-Net's trainer with batch norm leaves the plans at instance norm: the weights tell.
    """
    import torch

    if spec.options["norm"] == "instance" and any(name.endswith("norm.running_mean") for name in weights):
        spec = replace(spec, options={**spec.options, "norm": "batch"})
    with torch.device("meta"):
        expected = {name: tuple(weight.shape) for name, weight in build(spec).state_dict().items()}
    there = {name: weight.shape for name, weight in weights.items()}
    if there == expected:
        return spec
    different = next(
        name for name in [*expected, *there] if there.get(name, "none") != expected.get(name, "none")
    )
    shapes = (
        " x ".join(map(str, found[different])) if different in found else "none"
        for found in (there, expected)
    )
    raise UserError(
        f"{file} was trained with {trainer}, whose network is not the plans' {class_name(spec)}: the first"
        " weight that differs is {}, {} in the file and {} by the plans".format(different, *shapes),
        "give the plans and the checkpoint of one training; of somebody's own network, give answers as files",
    )


def _named(entry: Mapping[str, Any], source: str) -> tuple[str, Mapping[str, Any]]:
    """Class and arguments of the network, plans of 2.0 to 2.2 translated."""
    written = entry.get("architecture")
    if written is None and "UNet_class_name" in entry:
        kind = str(entry["UNet_class_name"])
        values = _translated(entry, kind, source)
    elif isinstance(written, dict) and isinstance(written.get("arch_kwargs"), dict):
        kind, values = str(written.get("network_class_name")), written["arch_kwargs"]
    else:
        raise UserError(f"{source} names no network", "copy plans.json again from the model")
    last = kind.rpartition(".")[2]
    if last not in NETWORKS:
        error = unknown(f"network in {source}", last, NETWORKS)
        raise UserError(error.cause, f"{error.fix}; {_OTHER}")
    return last, values


def _translated(entry: Mapping[str, Any], kind: str, source: str) -> dict[str, Any]:
    """The arguments of today in plans that have none."""
    try:
        counts, axes = entry["n_conv_per_stage_encoder"], len(entry["patch_size"])
        base, most = int(entry["UNet_base_num_features"]), int(entry["unet_max_num_features"])
        residual = kind.rpartition(".")[2] == "ResidualEncoderUNet"
        return {
            "n_stages": len(counts),
            "features_per_stage": [min(base * 2**i, most) for i in range(len(counts))],
            "conv_op": f"Conv{axes}d",
            "kernel_sizes": entry["conv_kernel_sizes"],
            "strides": entry["pool_op_kernel_sizes"],
            "n_blocks_per_stage" if residual else "n_conv_per_stage": counts,
            "n_conv_per_stage_decoder": entry["n_conv_per_stage_decoder"],
            "conv_bias": True,
            "norm_op": f"InstanceNorm{axes}d",
            "norm_op_kwargs": {"eps": 1e-5, "affine": True},
            "nonlin": "LeakyReLU",
        }
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{source} describes its network incompletely ({error})", "copy plans.json again from the model"
        ) from None


def _residual(values: Mapping[str, Any], levels: int, source: str) -> dict[str, Any]:
    """What the residual encoder alone has."""
    options: dict[str, Any] = {}
    if values.get("stem_channels") is not None:
        options["stem"] = _whole(values["stem_channels"], "stem_channels", source)
    block = str(values.get("block") or "BasicBlockD").rpartition(".")[2]
    if block not in _BLOCKS:
        raise unknown(f"block in {source}", block, _BLOCKS)
    if block == "BottleneckD":
        options["bottleneck"] = _each(
            values.get("bottleneck_channels"), levels, "bottleneck_channels", source
        )
    return options


def _dropout(values: Mapping[str, Any], source: str) -> float:
    if values.get("dropout_op") is None:
        return 0.0
    if str(values["dropout_op"]).rpartition(".")[2] not in _DROPOUTS:
        raise unknown(f"dropout in {source}", values["dropout_op"], _DROPOUTS)
    return float((values.get("dropout_op_kwargs") or {}).get("p", 0.5))


def _looked_up(name: object, table: Mapping[str, Any], kind: str, source: str) -> Any:
    """The entry of a dotted name's last component; "none" where there is no name."""
    if name is None:
        return "none"
    last = str(name).rpartition(".")[2]
    if last not in table:
        error = unknown(f"{kind} in {source}", name, table)
        raise UserError(error.cause, f"{error.fix}; {_OTHER}")
    return table[last]


def _each(value: Any, levels: int, key: str, source: str) -> list[Any]:
    """A value per level; a single one stands for all. Counts of blocks are of a size that can be built."""
    each = [value] * levels if isinstance(value, int) and not isinstance(value, bool) else value
    most = 200 if key.startswith("n_") else 100_000
    if not isinstance(each, list) or len(each) != levels or not all(_positive(n, most) for n in each):
        raise UserError(
            f"{source}: {key} is {value!r}, a number above 0 for each of {levels} levels was expected",
            "copy plans.json again from the model",
        )
    return each


def _strides(value: Any, levels: int, source: str) -> list[Any]:
    """A stride per level; of a single one the image's own level has none."""
    one = isinstance(value, int) and not isinstance(value, bool)
    return _each([1, *[value] * (levels - 1)] if one else value, levels, "strides", source)


def _positive(value: Any, most: int) -> bool:
    numbers = value if isinstance(value, list) and value else [value]
    return all(type(n) is int and 0 < n <= most for n in numbers)


def _whole(value: Any, key: str, source: str, most: int = 100_000) -> int:
    if type(value) is not int or not 1 <= value <= most:
        raise UserError(
            f"{source}: {key} is {value!r}, a whole number above 0 was expected", "copy plans.json again"
        )
    return value
