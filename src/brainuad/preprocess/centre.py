"""Moving each brain into the middle of the grid's rows and columns, by whole voxels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Shaped

from brainuad.formats.transform import Affine
from brainuad.preprocess.skullstrip import RegisteredScan

Image = Float[np.ndarray, "x y z"]
Mask = Bool[np.ndarray, "x y z"]


def centred(image: Image, brain: Mask, masks: Mapping[str, Mask], registered: RegisteredScan) -> dict[str, Any]:
    """Image, masks and transform after the move, so that the transform still leads from the grid to the scan.

    Source: Paolini et al., who centre each patient with the lesion masks.
    """
    steps = to_middle(brain)
    move = np.eye(4)
    move[:3, 3] = -registered.template.affine[:3, :3] @ [*steps, 0]
    transform = Affine(registered.transform.matrix @ move)
    whole = moved(registered.image, steps, float(registered.image.min()))
    return {
        "image": moved(image, steps),
        "brain": moved(brain, steps),
        "masks": {name: moved(mask, steps) for name, mask in masks.items()},
        "transform": transform,
        "registered": replace(registered, image=whole, transform=transform),
    }


def to_middle(brain: Mask) -> tuple[int, int]:
    """Voxels along x and y by which the middle of the brain's extent lies before the grid's."""
    steps = []
    for axis, others in enumerate(((1, 2), (0, 2))):
        first, last = np.flatnonzero(brain.any(axis=others))[[0, -1]]
        steps.append(int((brain.shape[axis] - 1 - first - last) // 2))
    return steps[0], steps[1]


def moved(data: Shaped[np.ndarray, "x y z"], steps: tuple[int, int], fill: float = 0) -> Shaped[np.ndarray, "x y z"]:
    """`data` moved by this many voxels along x and y; what comes in from outside is `fill`."""
    out = np.full_like(data, fill)
    target, source = [], []
    for step, n in zip(steps, data.shape, strict=False):
        target.append(slice(max(step, 0), n + min(step, 0)))
        source.append(slice(max(-step, 0), n - max(step, 0)))
    out[tuple(target)] = data[tuple(source)]
    return out
