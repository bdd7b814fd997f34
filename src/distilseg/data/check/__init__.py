"""Integrity of a dataset: every problem named by case, with the fix, and repaired copies where that is safe.

`check_dataset` reads each file once, on all cores, and never stops at the first problem. An *error* would
make training or evaluation wrong or impossible; a *warning* is worth a look and harms nothing by itself.

    kind            what is wrong
    missing         a file that the dataset names is not there
    truncated       a file ends too early            header_only  it has a header and no voxels
    unreadable      a file type or content that cannot be read
    dimension       no 3D volume, nor one slice      modality     channels and named modalities do not match
    spacing         zero, absurd, unknown (PNG), or  geometry     the affine is undefined, singular or sheared
                    stated twice and differently
    shape, affine   image and label (or two modalities) lie on different grids
    non_finite      NaN or infinite voxels           constant     all voxels are equal
    beyond_float    voxels that 32-bit floats cannot be scaled from
    label_value     a value that the dataset does not name, or no whole number
    label           a DICOM SEG that does not lie on its series, or whose classes share voxels
    label_type      whole numbers stored as floats   label_empty  background only
    label_absent    a class that no case holds       unlabelled   an image for training without a label
    duplicate       one image twice                  hounsfield   CT that is not called so
    classes         no structure, or more than a class index can number
    plan            the planner refuses the whole, such as volumes that are too small to be halved
"""

from .dataset import check_dataset
from .fix import fix_dataset
from .report import CheckReport, Problem

__all__ = ["CheckReport", "Problem", "check_dataset", "fix_dataset"]
