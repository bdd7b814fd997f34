"""The weights of UNesT as its authors publish them, by the names that they have here.

The networks in MONAI's model zoo (`wholeBrainSeg_Large_UNEST_segmentation`, 133 structures of the brain, and
`renalStructures_UNEST_segmentation`) are ours but for names and for an axis of length 1 before the position
tables, as comparing them showed.
"""

from __future__ import annotations

import re

TABLE = re.compile(r"levels\.\d+\.position")  # of ours: theirs have an axis of length 1 before

_LAYER = r"nestViT\.levels\.(\d+)\.transformer_encoder\.(\d+)\."
_NAMES = [
    (re.compile(theirs), ours)
    for theirs, ours in (
        (r"nestViT\.patch_embed\.proj\.", r"embed."),
        (r"nestViT\.levels\.(\d+)\.pos_embed", r"levels.\1.position"),
        (r"nestViT\.levels\.1\.pool\.conv\.", r"shrink.0.0."),
        (r"nestViT\.levels\.1\.pool\.norm\.", r"shrink.0.1."),
        (r"nestViT\.levels\.2\.pool\.conv\.", r"shrink.1.0."),
        (r"nestViT\.levels\.2\.pool\.norm\.", r"shrink.1.1."),
        (_LAYER + r"norm1\.", r"levels.\1.layers.\2.attention_norm."),
        (_LAYER + r"attn\.qkv\.", r"levels.\1.layers.\2.to_qkv."),
        (_LAYER + r"attn\.proj\.", r"levels.\1.layers.\2.out."),
        (_LAYER + r"norm2\.", r"levels.\1.layers.\2.mlp_norm."),
        (_LAYER + r"mlp\.fc1\.", r"levels.\1.layers.\2.mlp.0."),
        (_LAYER + r"mlp\.fc2\.", r"levels.\1.layers.\2.mlp.2."),
        (r"nestViT\.norm\.", r"norm."),
        (r"encoder1\.layer\.", r"encoder.0."),
        (r"encoder2\.transp_conv_init\.conv\.", r"encoder.1.0."),
        (r"encoder2\.blocks\.0\.conv\.", r"encoder.1.1."),
        (r"encoder3\.layer\.", r"encoder.2."),
        (r"encoder4\.layer\.", r"encoder.3."),
        (r"encoder10\.", r"bottleneck."),
        *((rf"decoder{level + 1}\.", rf"up.{level}.") for level in range(5)),
        (r"out\.", r"head."),
    )
]


def our_name(theirs: str) -> str:
    """What the weight is called in `UNesT`; a name that is none of theirs stays as it is."""
    for pattern, ours in _NAMES:
        if found := pattern.match(theirs):
            return found.expand(ours) + theirs[found.end() :]
    return theirs
