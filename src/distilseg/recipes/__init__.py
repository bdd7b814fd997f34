"""Complete experiments: one file per paper, and its ablations derived from it.

A recipe is a function `(study, *, option=default, ...) -> Experiment`, or a variant of one (`variant.py`).
Every one in this package is found by its signature; `my_file.py:function` names one anywhere else. Nothing
here imports torch.
"""

from .catalogue import Group, Recipe, find, groups, recipes

__all__ = ["Group", "Recipe", "find", "groups", "recipes"]
