"""Dual self-distillation (DSD): a U-shaped network is its own teacher, in the encoder and in the decoder.

    L     = DCE(main) + Σ_i η_i DCE(dec_i) + α L_enc + β L_dec
    L_enc = T² Σ_{i<n} KL(enc_n ‖ enc_i)            teacher: the coarsest encoder output
    L_dec = T² Σ_{i>1} KL(dec_1 ‖ dec_i)            teacher: the FINEST side output of the decoder

Banerjee, Summerfield, Dong, Glide-Hurst, "Volumetric medical image segmentation through dual
self-distillation in U-shaped networks", IEEE TBME 2025, arXiv 2306.03271v3; code
github.com/soumbane/DualSelfDistillation ("the code" below). DCE is soft Dice plus cross-entropy
(`functional.segmentation`), KL(t‖s) the mean over cases and voxels of Σ_k p_t (log p_t − log p_s) between
softmax(z/T) (`functional.divergence`).

Level 1 of the paper is our level 0, the finest: enc1 … enc4 are `encoder.0` … `encoder.3`; dec1 … dec4, at
strides 2 … 16, are `decoder.1`, `decoder.2`, `decoder.3` and the bottleneck (or `decoder.4` where a network
has one). `default_sides` finds them. A head maps each side feature to full-resolution logits (`head`); the
heads belong to this method, so the student costs exactly what its undistilled control costs.

Ablations are weights of 0, and what they do not need is neither tapped nor built:
Basic deep_supervision = encoder = decoder = 0; DS encoder = decoder = 0; SDD encoder = 0; SDE decoder = 0.

Where the paper and the code differ, or are silent:

- Weights. The paper's values could not be read from its text; the code uses α = β = 1, η_i = 1, T = 3. In
  the code a KL weight other than 1 is swallowed by a constructor and has no effect; here weights work.
- T². In the code, not visible in the paper: `t2_factor`.
- Detaching. The code lets KL gradients flow into the teachers: `detach_teacher=False`. Detached, a teacher
  whose head nothing else trains (enc4's own) keeps that head as it was drawn: its parameters are frozen.
- Levels of deep supervision. The code's DSD sums main and dec1 … dec4, its (commented) variant with deep
  supervision alone leaves dec4 out: `ds_levels`.
- Up-sampling. The code applies one shared ×2 transposed convolution n times ("shared_x2"), the paper
  describes one deconvolution layer ("single_deconv"); "trilinear" is a control that learns no up-sampling.
  "nearest" is ours: side outputs stay at their own resolution and are compared by blocks, which equals
  outputs whose voxels are repeated and costs a fraction (`functional.blocks`).
- Sharing. The code shares heads between encoder and decoder in nnU-Net (DynUNet) and Swin UNETR, and has
  separate ones in UNETR and VNet: `shared_heads`. Its VNet also owns a head that is never used (32 channels
  at full size, 111 parameters for 3 classes); it is not built here, so our count is lower by as much.
- Initialisation. The code's DynUNet draws its heads anew (Kaiming normal); here they keep PyTorch's default.
- Background. `include_background=False` drops class 0 before the softmax of the KL terms, as in the code.
- Teachers "mean" (students: all outputs; the softened probabilities are averaged) and "reversed" (enc1 and
  the coarsest decoder output teach) are in the paper only.
- `feature_l2` (in the code, no gain reported): features projected to 128 channels and averaged over space;
  squared differences of enc2, enc3 to enc4 and of dec2, dec3 to dec1, whatever `teacher` is. Off; the code's
  weight is 1e-4 (`FEATURE_L2_WEIGHT`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import UserError, unknown
from ..functional.blocks import are_nested, block_dice_cross_entropy, block_divergence, block_means, repeated
from ..functional.divergence import kl_divergence, log_mean, log_soft_labels, soft_label_divergence
from ..functional.segmentation import dice_cross_entropy, in_full_precision, one_hot
from ..functional.upsampling import NestedOrder
from ..types import UNKNOWN, Batch, Outputs
from .head import Head, Upsampling, doublings
from .method import Method, Role, Weight

Teacher = Literal["deepest", "mean", "reversed"]
Shapes = Mapping[str, tuple[int, ...]]  # feature name -> [B C *s]

PAPER_LEVELS = 4
PROJECTED_CHANNELS = 128
FEATURE_L2_WEIGHT = 1e-4


def default_sides(
    feature_shapes: Shapes, levels: int = PAPER_LEVELS
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The names of the encoder and the decoder side features, finest first.

    Encoder: the levels below n, which is one more than the deepest there is, at most `levels` (the paper's
    4). Decoder: levels 1 … n; the bottleneck stands in if there is no `decoder.n`. Raises UserError for a
    network without two of each.
    """
    encoder_levels, decoder_levels = _levels(feature_shapes, "encoder"), _levels(feature_shapes, "decoder")
    n = min(levels, max(encoder_levels, default=-1) + 1)
    encoder = tuple(f"encoder.{level}" for level in encoder_levels if level < n)
    decoder = tuple(f"decoder.{level}" for level in decoder_levels if 1 <= level <= n)
    if n not in decoder_levels and "bottleneck" in feature_shapes:
        decoder += ("bottleneck",)
    if min(len(encoder), len(decoder)) < 2:
        raise UserError(
            "dual self-distillation needs at least two encoder and two decoder features, found"
            f" {list(encoder)} and {list(decoder)} among {sorted(feature_shapes)}",
            "choose a deeper U-shaped network or a larger patch, or name the features (`encoder`, `decoder`)",
        )
    return encoder, decoder


def _levels(names: Iterable[str], side: str) -> list[int]:
    return sorted(int(match[1]) for name in names if (match := re.fullmatch(rf"{side}\.(\d+)", name)))


class DualSelfDistillation(Method):
    """L = seg + deep_supervision + encoder + decoder (+ feature_l2), see the module's text.

    `feature_shapes` says how large the student's features are, [B C *s] by name, for an input of `patch`
    voxels (`networks.features.feature_shapes` measures them; 2D and 3D). `encoder` and `decoder` name the
    side features, finest first. `ds_levels` names the decoder features under deep supervision (all), `eta`
    weighs them by name (1 each). Wrong options raise UserError.
    """

    paper_weights: Mapping[str, Weight] = {
        "seg": 1.0,
        "deep_supervision": 1.0,
        "encoder": 1.0,
        "decoder": 1.0,
        "feature_l2": 0.0,
    }

    def __init__(
        self,
        feature_shapes: Shapes,
        classes: int,
        patch: Sequence[int],
        *,
        encoder: Sequence[str] | None = None,
        decoder: Sequence[str] | None = None,
        temperature: float = 3.0,
        t2_factor: bool = True,
        detach_teacher: bool = False,
        include_background: bool = True,
        ds_levels: Sequence[str] | None = None,
        eta: Mapping[str, float] | None = None,
        head_upsample: Upsampling = "shared_x2",
        shared_heads: bool = False,
        teacher: Teacher = "deepest",
        weights: Mapping[str, Weight] | None = None,
    ) -> None:
        super().__init__(weights)
        if encoder is None or decoder is None:
            found = default_sides(feature_shapes)
            encoder, decoder = encoder or found[0], decoder or found[1]
        self.encoder, self.decoder = tuple(encoder), tuple(decoder)
        self.classes, self.temperature, self.t2_factor = classes, temperature, t2_factor
        self.detach_teacher, self.include_background = detach_teacher, include_background
        self.teacher, self.by_blocks = teacher, head_upsample == "nearest"
        self.ds_levels = self.decoder if ds_levels is None else tuple(ds_levels)
        self.eta = dict.fromkeys(self.ds_levels, 1.0) | dict(eta or {})
        self._check(feature_shapes, head_upsample)

        self._sides = self._names_with_heads()
        self._head_of = {name: _head_key(name, feature_shapes, shared_heads) for name in self._sides}
        spaces = {name: feature_shapes[name][2:] for name in self._sides}
        depth = max((doublings(space, patch) or 0 for space in spaces.values()), default=0)
        if head_upsample != "shared_x2":
            depth = 0
        self.order = NestedOrder(patch, depth)
        heads = {
            key: Head(feature_shapes[name][1], classes, spaces[name], patch, head_upsample, depth)
            for key, name in {key: name for name, key in self._head_of.items()}.items()
        }
        self.heads, self._grids = nn.ModuleDict(heads), {key: head.grid for key, head in heads.items()}
        grids = sorted(set(self._grids.values()))
        if self.by_blocks and not are_nested(grids):
            raise UserError(
                f"side outputs of {grids} voxels are not nested, so they have no blocks",
                "choose another head_upsample, such as 'trilinear'",
            )

        l2_names = (*self.encoder[1:], *self.decoder[:-1]) if self.uses("feature_l2") else ()
        self._projection_of = {name: _head_key(name, feature_shapes, shared=True) for name in l2_names}
        self.projections = nn.ModuleDict(
            {
                key: nn.Linear(feature_shapes[name][1], PROJECTED_CHANNELS)
                for name, key in self._projection_of.items()
            }
        )
        self._freeze_untaught()
        self.roles = {"student": Role(taps=tuple(dict.fromkeys((*self._sides, *l2_names))))}

    def terms(self, outputs: Mapping[str, Outputs], batch: Batch) -> dict[str, Tensor]:
        student, label = outputs["student"], batch.label
        known = bool((label != UNKNOWN).all())
        hot_BKS = one_hot(label, self.classes, like=student.logits) if known and self.by_blocks else None
        terms: dict[str, Tensor] = {}
        if self.uses("seg"):
            terms["seg"] = dice_cross_entropy(student.logits, label, one_hot_BKS=hot_BKS)
        # Side by side: the encoder's full-size maps are gone before the decoder's are made.
        if self.uses("encoder"):
            terms["encoder"] = self._self_distillation(
                self._logits(student, self.encoder), self._teachers()[0]
            )
        logits = self._logits(student, self.decoder)
        if self.uses("deep_supervision"):
            supervised = {name: logits[name] for name in self.ds_levels}
            if self.by_blocks:
                losses = self._of_label_by_blocks(supervised, label, hot_BKS)
            else:
                losses = self._of_label(supervised, label, known)
            # Σ_i η_i DCE(dec_i)
            terms["deep_supervision"] = _sum(self.eta[name] * loss for name, loss in losses.items())
        if self.uses("decoder"):
            terms["decoder"] = self._self_distillation(logits, self._teachers()[1])
        if self.uses("feature_l2"):
            terms["feature_l2"] = self._feature_l2(student)
        return terms

    def _logits(self, student: Outputs, names: Sequence[str]) -> dict[str, Tensor]:
        """Logits of those features of one side that have a head, finest first.

        They are [B K N]: the terms average over voxels, so any order will do that all maps share. By blocks
        they are [B K *s], each on its own grid.
        """
        keys = {name: self._head_of[name] for name in names if name in self._head_of}
        logits = {name: self.heads[key](student[name]) for name, key in keys.items()}
        if self.by_blocks:
            return {name: z_BKn.unflatten(2, self._grids[keys[name]]) for name, z_BKn in logits.items()}
        return logits

    def _of_label(self, logits: Mapping[str, Tensor], label_B1S: Tensor, known: bool) -> dict[str, Tensor]:
        """DCE of each side output [B K N]."""
        label_B1N = self.order(label_B1S)
        hot_BKN = one_hot(label_B1N, self.classes, like=next(iter(logits.values()))) if known else None
        return {name: dice_cross_entropy(z, label_B1N, one_hot_BKS=hot_BKN) for name, z in logits.items()}

    def _of_label_by_blocks(
        self, logits: Mapping[str, Tensor], label_B1S: Tensor, hot_BKS: Tensor | None
    ) -> dict[str, Tensor]:
        """The same of outputs [B K *s]; where some of the label is unknown they are repeated in fact."""
        if hot_BKS is None:
            space = label_B1S.shape[2:]
            return {name: dice_cross_entropy(repeated(z, space), label_B1S) for name, z in logits.items()}
        shares = block_means(hot_BKS, (z.shape[2:] for z in logits.values()))
        voxels = hot_BKS[0, 0].numel()
        return {
            name: block_dice_cross_entropy(z, shares[tuple(z.shape[2:])], voxels // z[0, 0].numel())
            for name, z in logits.items()
        }

    def _teachers(self) -> tuple[str | None, str | None]:
        """The names of the encoder's and the decoder's teacher; None where all teach together."""
        if self.teacher == "mean":
            return None, None
        first, last = (0, -1) if self.teacher == "reversed" else (-1, 0)
        return self.encoder[first], self.decoder[last]

    def _self_distillation(self, logits: Mapping[str, Tensor], teacher: str | None) -> Tensor:
        """T² Σ_i KL(teacher ‖ student_i) over the outputs of one side."""
        T, background = self.temperature, self.include_background
        if teacher is None:
            if self.by_blocks:  # a mean has no coarser grid than its finest part
                finest = [max(sizes) for sizes in zip(*(z.shape[2:] for z in logits.values()), strict=True)]
                logits = {name: repeated(z, finest) for name, z in logits.items()}
            students = [log_soft_labels(z, T, include_background=background) for z in logits.values()]
            total = kl_divergence(students, self._as_teacher(log_mean(students)))
        else:
            others = [z for name, z in logits.items() if name != teacher]
            teacher_BKN = self._as_teacher(logits[teacher])
            divergence = block_divergence if self.by_blocks else soft_label_divergence
            total = divergence(others, teacher_BKN, T, include_background=background)
        return total * (T**2 if self.t2_factor else 1.0)

    def _as_teacher(self, map_BKN: Tensor) -> Tensor:
        return map_BKN.detach() if self.detach_teacher else map_BKN

    def _feature_l2(self, student: Outputs) -> Tensor:
        """Σ MSE(enc_i, enc_n) + Σ MSE(dec_i, dec_1) of projected, averaged features, without the ends."""
        with torch.autocast(student.logits.device.type, enabled=False):
            # The projection is linear, so it may follow the average: the same numbers, less work.
            pooled = {
                name: self.projections[key](in_full_precision(student[name]).flatten(2).mean(-1))
                for name, key in self._projection_of.items()
            }
            teachers = self.encoder[-1], self.decoder[0]
            if self.detach_teacher:
                pooled |= {name: pooled[name].detach() for name in teachers}
            pairs = [(name, teachers[0]) for name in self.encoder[1:-1]]
            pairs += [(name, teachers[1]) for name in self.decoder[1:-1]]
            return _sum(F.mse_loss(pooled[student], pooled[teacher]) for student, teacher in pairs)

    def _names_with_heads(self) -> tuple[str, ...]:
        """The features whose logits some term of this objective reads, in a fixed order."""
        names: tuple[str, ...] = ()
        if self.uses("encoder"):
            names += self.encoder
        if self.uses("decoder"):
            names += self.decoder
        elif self.uses("deep_supervision"):
            names += tuple(name for name in self.decoder if name in self.ds_levels)
        return names

    def _freeze_untaught(self) -> None:
        """A detached teacher's head may get no gradient at all; distributed training must know that."""
        if not self.detach_teacher:
            return
        supervised = set(self.ds_levels) if self.uses("deep_supervision") else set()
        only_teaching = set(self._teachers()) - supervised
        _freeze(self.heads, self._head_of, only_teaching)
        _freeze(self.projections, self._projection_of, {self.encoder[-1], self.decoder[0]})

    def _check(self, feature_shapes: Shapes, head_upsample: str) -> None:
        """Every wrong option is refused here, with the fix."""
        for name in (*self.encoder, *self.decoder):
            if name not in feature_shapes:
                raise unknown("feature", name, feature_shapes)
        for name in self.ds_levels:
            if name not in self.decoder:
                raise unknown("decoder side output", name, self.decoder)
        for name in self.eta:
            if name not in self.ds_levels:
                raise unknown("deep supervision level", name, self.ds_levels)
        if not self.ds_levels and self.uses("deep_supervision"):
            raise UserError(
                "deep supervision has no level", "name some in `ds_levels`, or give it the weight 0"
            )
        for term, names in (("encoder", self.encoder), ("decoder", self.decoder)):
            if len(names) < 2 and self.uses(term):
                raise UserError(
                    f"the term {term!r} needs at least two features, got {list(names)}", "name more"
                )
        if min(len(self.encoder), len(self.decoder)) < 3 and self.uses("feature_l2"):
            raise UserError("feature_l2 needs at least three features on each side", "give it the weight 0")
        if head_upsample not in get_args(Upsampling):
            raise unknown("head_upsample", head_upsample, get_args(Upsampling))
        if self.teacher not in get_args(Teacher):
            raise unknown("teacher", self.teacher, get_args(Teacher))
        if not self.temperature > 0:
            raise UserError(f"the temperature is {self.temperature}, it must be above 0", "the paper uses 3")
        if not self.include_background and self.classes < 3:
            raise UserError(
                f"without the background {self.classes - 1} class is left, and its soft label is always 1",
                "keep include_background=True for a single foreground class",
            )


def _head_key(name: str, shapes: Shapes, shared: bool) -> str:
    """Which head serves a feature: its own, or the one of its channels and size."""
    _, channels, *space = shapes[name]
    return f"{channels}_at_{'x'.join(map(str, space))}" if shared else name.replace(".", "_")


def _freeze(modules: nn.ModuleDict, module_of: Mapping[str, str], untaught: set[str | None]) -> None:
    """Freezes every module that serves only features in `untaught`."""
    taught = {key for name, key in module_of.items() if name not in untaught}
    for key in modules.keys() - taught:
        modules[key].requires_grad_(False)


def _sum(scalars: Iterable[Tensor]) -> Tensor:
    return torch.stack(list(scalars)).sum()
