"""How an array cache stores intensities, and arrays that are decoded as they are read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, overload

import numpy as np
from jaxtyping import Bool, Float, Shaped

STEPS = 254
"""Steps between the limits under uint8; code 0 is the outside of the brain."""


@dataclass(frozen=True)
class Coding:
    """`float32` unchanged, `float16` rounded, `uint8` in 254 steps between `limits`; 0 outside the brain stays 0."""

    dtype: Literal["float32", "float16", "uint8"] = "float32"
    limits: tuple[float, float] | None = None

    @property
    def stored(self) -> np.dtype[Any]:
        """NumPy's type of the stored values."""
        return np.dtype(self.dtype)

    def encode(
        self, image: Float[np.ndarray, "x y z"], brain: Bool[np.ndarray, "x y z"]
    ) -> Shaped[np.ndarray, "x y z"]:
        """A volume as it is stored."""
        if self.dtype != "uint8":
            return np.asarray(image, dtype=self.stored)
        assert self.limits is not None
        low, high = self.limits
        steps = np.rint((np.clip(image, low, high) - low) * (STEPS / (high - low)))
        return np.where(brain, steps + 1, 0).astype(np.uint8)

    def decode(self, codes: Shaped[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
        """Intensities of stored values, float32."""
        return self._table[codes] if self.dtype == "uint8" else np.asarray(codes, dtype=np.float32)

    @cached_property
    def _table(self) -> Float[np.ndarray, "256"]:
        assert self.limits is not None
        low, high = self.limits
        return np.array([0.0, *np.linspace(low, high, STEPS + 1)], dtype=np.float32)


class Coded:
    """Stored volumes, (n, x, y, z). An index or a tuple gives decoded float32 values, a slice or a list `Coded`."""

    def __init__(self, codes: Shaped[np.ndarray, "n x y z"], coding: Coding):
        self.codes, self.coding = codes, coding

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, x, y, z)."""
        return self.codes.shape

    def __len__(self) -> int:
        """Number of volumes."""
        return len(self.codes)

    def __getitem__(self, index: Any) -> Any:
        """Reads only what is indexed."""
        part = self.codes[index]
        return Coded(part, self.coding) if isinstance(index, slice | list) else self.coding.decode(part)

    def __iter__(self) -> Iterator[Float[np.ndarray, "x y z"]]:
        """Decoded volumes, one by one."""
        return (self.coding.decode(codes) for codes in self.codes)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """All volumes, decoded in memory."""
        return np.asarray(self.coding.decode(self.codes), dtype=dtype)


class Stacked:
    """The same volumes in several sequences, (n, x, y, z, c). An index or a tuple reads what it names of each."""

    def __init__(self, parts: Sequence[np.ndarray | Coded]):
        self.parts = parts

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, x, y, z, c)."""
        return (*self.parts[0].shape, len(self.parts))

    def __len__(self) -> int:
        """Number of volumes."""
        return len(self.parts[0])

    def __getitem__(self, index: Any) -> Any:
        """A slice or a list gives `Stacked`, all else an array with the sequences at its end."""
        parts = [part[index] for part in self.parts]
        return Stacked(parts) if isinstance(index, slice | list) else np.stack(parts, axis=-1)

    def __iter__(self) -> Iterator[Float[np.ndarray, "x y z c"]]:
        """The volumes, one by one."""
        return (self[row] for row in range(len(self)))


class Picked(Sequence[Float[np.ndarray, "x y z"]]):
    """Volumes chosen from several array caches, each read when it is indexed."""

    def __init__(self, places: Sequence[tuple[np.ndarray | Coded | Stacked, int]]):
        self.places = places

    def __len__(self) -> int:
        """Number of volumes."""
        return len(self.places)

    def axial_slice(self, index: int, z: int) -> Float[np.ndarray, "x y"]:
        """One axial slice of a volume; no more is read or decoded."""
        volumes, number = self.places[index]
        plane: np.ndarray = volumes[number, :, :, z]
        return plane

    @overload
    def __getitem__(self, index: int) -> Float[np.ndarray, "x y z"]: ...
    @overload
    def __getitem__(self, index: slice) -> Picked: ...
    def __getitem__(self, index: int | slice) -> Float[np.ndarray, "x y z"] | Picked:
        """A volume, or the `Picked` of a slice."""
        if isinstance(index, slice):
            return Picked(self.places[index])
        volumes, number = self.places[index]
        volume: np.ndarray = volumes[number]
        return volume
