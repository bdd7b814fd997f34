"""Students of 8, 16 or all subjects' slices."""

from ..prototype_rows import LABELS, QUESTIONS, SIZES, names, read, row_of

__all__ = ["LABELS", "QUESTIONS", "SIZES", "names", "read", "row_of"]
