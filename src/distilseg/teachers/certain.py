"""Logits of a label map, made where they are looked at: a scan of a hundred classes fits into no memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class TableLogits:
    """Logits [K *S], as an array that can be sliced, transposed and read: of voxel s they are
    `table[:, index[s]]`."""

    table: NDArray[np.float32]  # [K V] logits of each value that the map holds
    index: NDArray[np.unsignedinteger[Any]]  # [*S] which value

    @property
    def shape(self) -> tuple[int, ...]:
        """Heads, then voxels."""
        return (len(self.table), *self.index.shape)

    @property
    def ndim(self) -> int:
        """Axes."""
        return 1 + self.index.ndim

    @property
    def dtype(self) -> np.dtype[np.float32]:
        """Of a logit."""
        return self.table.dtype

    def __len__(self) -> int:
        return len(self.table)

    def transpose(self, *axes: int) -> TableLogits:
        """The axes of space in another order; that of the heads stays the first."""
        if axes[0] != 0:
            raise ValueError("the axis of the heads stays the first")
        return TableLogits(self.table, self.index.transpose([axis - 1 for axis in axes[1:]]))

    def __getitem__(self, key: Any) -> NDArray[np.float32]:
        heads, *space = key if isinstance(key, tuple) else (key,)
        part: NDArray[np.float32] = self.table[heads][..., self.index[tuple(space)]]
        return part

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[:], dtype)
