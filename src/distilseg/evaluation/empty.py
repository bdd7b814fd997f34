"""What a metric is worth where a mask is empty: five conventions, chosen by name.

A dash is NaN: the value is left out of averages, and counted as left out. "Diagonal" is that of the whole
image, the largest distance possible.

             metric            both empty   prediction empty   reference empty
    nan      Dice, IoU, NSD         -              0                  0
             HD, HD95, ASSD         -              -                  -
    monai    Dice, IoU              -              0                  -
             NSD                    -              0                  0
             HD, HD95, ASSD         -          infinite           infinite
    brats    Dice, IoU, NSD         1              0                  0
             HD, HD95, ASSD         0          diagonal           diagonal
    worst    Dice, IoU, NSD         -              0                  0
             HD, HD95, ASSD         -          diagonal           diagonal
    one      Dice, IoU, NSD         1              0                  0
             HD, HD95, ASSD         -              -                  -

Who uses them: `nan`, for Dice and IoU, nnU-Net. `monai`: MONAI's metrics as they come (ignore_empty=True; its
HD95 is NaN where its HD is infinite), and dual self-distillation, which leaves out what is not finite.
`brats`: the BraTS challenges, whose diagonal is 373.13 mm; for Dice and NSD also the FLARE challenges.
`one`: for slices as cases (`by_slice.py`), as Teach-Former's numbers suggest.
`worst`: the advice of Metrics Reloaded (Maier-Hein et al., 2024) to count a missing value as the worst.

Averages of distances under `nan`, `monai` and `one` flatter a network that misses structures, because its
worst cases are left out: look at the counts. The volume difference in ml needs no convention; the relative
one is NaN wherever the reference is empty.
"""

from __future__ import annotations

import math
from typing import Literal, get_args

from ..errors import unknown
from .overlap import Counts

Empty = Literal["nan", "monai", "brats", "worst", "one"]
Kind = Literal["volume", "surface", "distance"]  # Dice and IoU; NSD; HD, HD95 and ASSD

NAN, DIAGONAL = math.nan, -1.0  # the second stands for the image's diagonal

# Worth where: both are empty, only the prediction is, only the reference is.
_WORTH: dict[Empty, dict[Kind, tuple[float, float, float]]] = {
    "nan": {"volume": (NAN, 0, 0), "surface": (NAN, 0, 0), "distance": (NAN, NAN, NAN)},
    "monai": {"volume": (NAN, 0, NAN), "surface": (NAN, 0, 0), "distance": (NAN, math.inf, math.inf)},
    "brats": {"volume": (1, 0, 0), "surface": (1, 0, 0), "distance": (0, DIAGONAL, DIAGONAL)},
    "worst": {"volume": (NAN, 0, 0), "surface": (NAN, 0, 0), "distance": (NAN, DIAGONAL, DIAGONAL)},
    "one": {"volume": (1, 0, 0), "surface": (1, 0, 0), "distance": (NAN, NAN, NAN)},
}


def check_empty(name: str) -> None:
    """Raises `UserError` if `name` is no convention."""
    if name not in _WORTH:
        raise unknown("convention for empty structures", name, get_args(Empty))


def worth(kind: Kind, counts: Counts, *, diagonal: float, empty: Empty) -> float:
    """The value where a mask is empty, or both are; `diagonal` in the unit of the distances."""
    both, missed, invented = _WORTH[empty][kind]
    value = missed if counts.reference else invented if counts.prediction else both
    return diagonal if value == DIAGONAL else float(value)
