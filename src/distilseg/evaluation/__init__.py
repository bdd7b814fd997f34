"""How good is a segmentation, and is one run better than another? NumPy and SciPy only.

Conventions, each explained where it is computed:

- A structure is one label value, or a region that unites several (`evaluate.py`).
- Distances are in millimetres. `unit="voxel"` measures on the voxel grid, and says so in the metric's name.
- HD, HD95, ASSD and `nsd_voxel` go from voxel centre to voxel centre of surface voxels, as in MONAI: HD95 is
  the larger directed percentile, ASSD the mean over both surfaces pooled (`surface.py`).
- NSD weighs by surface area at a tolerance in mm: the definition of DeepMind's surface-distance
  (`surface_elements.py`).
- Where a mask is empty, a convention holds that is chosen by name; "nan", the default, leaves out what is
  undefined and counts it (`empty.py`).
- A case is a scan; `by="slice"` scores each of its slices instead, for comparison with papers that did
  (`by_slice.py`).
- Whether masks change from slice to slice as the reference does is a metric of its own, asked for by name
  (`slice_similarity.py`).
- Runs are compared case by case: bootstrap interval of the mean difference, Wilcoxon's signed-rank test
  (a paired t-test beside it), Holm's correction over structures (`significance.py`).
"""

from .by_slice import by_case, evaluate_slices
from .checks import Labels
from .empty import Empty
from .evaluate import (
    DEFAULT_METRICS,
    METRICS,
    By,
    Metric,
    Row,
    Unit,
    evaluate_case,
    evaluate_cases,
    summarise_rows,
)
from .significance import Paired, Summary, holm, mean_interval, paired, summarise
from .slice_similarity import accumulated

__all__ = [
    "DEFAULT_METRICS",
    "METRICS",
    "By",
    "Empty",
    "Labels",
    "Metric",
    "Paired",
    "Row",
    "Summary",
    "Unit",
    "accumulated",
    "by_case",
    "evaluate_case",
    "evaluate_cases",
    "evaluate_slices",
    "holm",
    "mean_interval",
    "paired",
    "summarise",
    "summarise_rows",
]
