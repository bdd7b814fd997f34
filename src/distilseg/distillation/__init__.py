"""What is minimised. `method` is the contract; each further file is one paper."""

from __future__ import annotations

from .dual_self_distillation import DualSelfDistillation, default_sides
from .hved import HVED
from .kd_net import KDNet
from .method import Combined, Method, Modalities, Role, Weight, whole_image
from .missu import MISSU
from .prototypes import Prototypes
from .supervised import Supervised
from .teach_former import TeachFormer

__all__ = [
    "HVED",
    "MISSU",
    "Combined",
    "DualSelfDistillation",
    "KDNet",
    "Method",
    "Modalities",
    "Prototypes",
    "Role",
    "Supervised",
    "TeachFormer",
    "Weight",
    "default_sides",
    "whole_image",
]
