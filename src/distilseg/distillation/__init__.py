"""What is minimised. `method` is the contract; each further file is one paper."""

from __future__ import annotations

from .dual_self_distillation import DualSelfDistillation, default_sides
from .method import Combined, Method, Role, Weight, whole_image
from .supervised import Supervised

__all__ = [
    "Combined",
    "DualSelfDistillation",
    "Method",
    "Role",
    "Supervised",
    "Weight",
    "default_sides",
    "whole_image",
]
