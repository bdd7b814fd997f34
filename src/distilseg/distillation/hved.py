"""U-HVED's objective: one network for every subset of modalities, with no teacher.

    L = seg + 0.1 reconstruction + 0.1 kl
    seg             soft Dice + cross-entropy of the logits
    reconstruction  (image − decoded image)², mean over the voxels of the modalities that were acquired
    kl              KL(q(z | modalities) ‖ N(0, 1)), mean over the elements of a level, then over levels

Dorent, Joutard, Modat, Ourselin, Vercauteren, "Hetero-Modal Variational Encoder-Decoder for Joint Modality
Completion and Segmentation", MICCAI 2019, arXiv 1907.11150; terms and weights are those of the authors' code
(github.com/ReubenDo/U-HVED). The network draws a subset of the modalities at each step; the images to
reconstruct include those that it was not shown. q is that of the drawn subset: the code instead averages kl
over all subsets and adds the divergence of q from the q of each other subset. That is not done here.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ..errors import UserError
from ..functional.gaussian import divergence_from_standard_normal
from ..functional.missing import present_modalities
from ..functional.segmentation import dice_cross_entropy, in_full_precision
from ..types import Batch, Outputs
from .method import Method, Role, Weight

RECONSTRUCTION, POSTERIOR = "reconstruction", "posterior."


class HVED(Method):
    """L = seg + 0.1 reconstruction + 0.1 kl, see the module's text.

    `feature_shapes`: the student's, name -> [B C *s]. It must offer `reconstruction` [B M *S] and, at one or
    more levels, `posterior.i` [B 2C *s], means then log σ². UserError if a term in use lacks its feature.
    """

    paper_weights: Mapping[str, Weight] = {"seg": 1.0, "reconstruction": 0.1, "kl": 0.1}

    def __init__(
        self, feature_shapes: Mapping[str, tuple[int, ...]], *, weights: Mapping[str, Weight] | None = None
    ) -> None:
        super().__init__(weights)
        self.posteriors = tuple(name for name in feature_shapes if name.startswith(POSTERIOR))
        for term, name, offered in (
            ("reconstruction", RECONSTRUCTION, RECONSTRUCTION in feature_shapes),
            ("kl", f"{POSTERIOR}0", bool(self.posteriors)),
        ):
            if self.uses(term) and not offered:
                raise UserError(
                    f"the student's network offers no feature {name}, which the term {term!r} needs",
                    f"use the network u_hved, or leave the term out with {term} 0",
                )
        images = (RECONSTRUCTION,) if self.uses("reconstruction") else ()
        gaussians = self.posteriors if self.uses("kl") else ()
        self.roles = {"student": Role(images + gaussians)}

    def terms(self, outputs: Mapping[str, Outputs], batch: Batch) -> dict[str, Tensor]:
        student = outputs["student"]
        terms = {}
        if self.uses("seg"):
            terms["seg"] = dice_cross_entropy(student.logits, batch.label)
        if self.uses("reconstruction"):
            terms["reconstruction"] = squared_error(student[RECONSTRUCTION], batch.image)
        if self.uses("kl"):
            levels = [student[name].chunk(2, 1) for name in self.posteriors]
            terms["kl"] = torch.stack([divergence_from_standard_normal(*level) for level in levels]).mean()
        return terms


def squared_error(decoded_BMS: Tensor, image_BMS: Tensor) -> Tensor:
    """Mean over the voxels of the modalities that were acquired; []."""
    decoded_BMS, image_BMS = in_full_precision(decoded_BMS), in_full_precision(image_BMS)
    present_BM = present_modalities(image_BMS)
    present = present_BM.reshape(*present_BM.shape, *[1] * (image_BMS.ndim - 2))
    # Before the difference: its gradient is 0 times NaN otherwise.
    target_BMS = torch.where(present, image_BMS, decoded_BMS.detach())
    voxels = present_BM.sum() * image_BMS[0, 0].numel()
    error: Tensor = (decoded_BMS - target_BMS).square().sum() / voxels
    return error
