"""Operators on maps and on masks in voxels: pure functions; axial slices are planes of the first two axes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import skimage.morphology as morphology
from jaxtyping import Bool, Float
from scipy import ndimage

from brainuad.images import components

Map = Float[np.ndarray, "x y z"]
Mask = Bool[np.ndarray, "x y z"]
Shape = Literal["disk", "square"]
Edges = tuple[int, int, int]
Radii = tuple[int, int]

_CHUNK = 8192  # voxels whose neighbours are sorted together
_EXACT = 1e-9  # for sums of shares that are 1 but for rounding


def median3d(anomaly: Map, brain: Mask, edges: Edges) -> Map:
    """Median over a box of `edges` voxels (odd), the zeros outside the brain among them; 0 outside the brain."""
    near = ndimage.maximum_filter(
        anomaly != 0, edges, mode="constant"
    )  # elsewhere all is 0, as in most of a lesion mask
    boxes = np.lib.stride_tricks.sliding_window_view(np.pad(anomaly, [(edge // 2,) * 2 for edge in edges]), edges)
    smooth = np.zeros_like(anomaly)
    x, y, z = np.nonzero(brain & near)
    total = int(np.prod(edges))
    for start in range(0, len(x), _CHUNK):  # four times as fast as a filter of the grid
        part = np.s_[start : start + _CHUNK]
        values = boxes[x[part], y[part], z[part]].reshape(-1, total)
        values.partition(total // 2, axis=1)
        smooth[x[part], y[part], z[part]] = values[:, total // 2]
    return smooth


def gaussian(anomaly: Map, brain: Mask, sigma: tuple[float, float, float]) -> Map:
    """Gaussian of `sigma` voxels over brain voxels alone (normalised convolution); 0 outside the brain."""
    weight = ndimage.gaussian_filter(brain.astype(np.float32), sigma)
    smooth = ndimage.gaussian_filter(_inside(anomaly, brain), sigma)
    return np.divide(smooth, weight, out=np.zeros_like(smooth), where=brain)


def erode_brain_mask(anomaly: Map, brain: Mask, rim: Edges) -> Map:
    """Let nothing be above 0 in the outer rim of the brain, `rim` voxels deep along each axis.

    Where the brain reaches the end of the grid it goes on outside, as in a slab: there is no rim.
    """
    core = ndimage.binary_erosion(brain, _diamond(rim), border_value=1) if max(rim) else brain
    return np.where(core, anomaly, np.minimum(anomaly, 0))


def hyperintensity_prior(anomaly: Map, brain: Mask, image: Map, quantile: float) -> Map:
    """Let nothing be above 0 where the scan is darker than the `quantile` of its brain (Baur 2021)."""
    bright = image >= np.quantile(image[brain], quantile)
    return np.where(bright, anomaly, np.minimum(anomaly, 0))


def closing(mask: Mask, radii: Radii, shape: Shape) -> Mask:
    """Binary closing in axial slices; outside the grid there is background."""
    return _padded(morphology.closing, mask, radii, shape)


def opening(mask: Mask, radii: Radii, shape: Shape) -> Mask:
    """Binary opening in axial slices; outside the grid there is background."""
    return _padded(morphology.opening, mask, radii, shape)


def dilation(mask: Mask, radii: Radii, shape: Shape) -> Mask:
    """Binary dilation in axial slices."""
    return np.asarray(morphology.dilation(mask, footprint(radii, shape)))


def area_opening(mask: Mask, min_pixels: int) -> Mask:
    """Remove components of a slice under `min_pixels`."""
    slices = [morphology.remove_small_objects(part, max_size=min_pixels - 1, connectivity=2) for part in mask.T]
    return np.stack(slices).T


def relative_area_opening(mask: Mask, min_share: float) -> Mask:
    """Remove components of a slice that are smaller than `min_share` of the largest one there (Paolini)."""
    labels, count = components.label(mask, per_slice=True)
    sizes, place = components.sizes(labels, count), components.slices(labels, count)
    largest = np.zeros(mask.shape[2], dtype=sizes.dtype)
    np.maximum.at(largest, place, sizes)
    return components.keep(labels, sizes >= min_share * largest[place])


def remove_small_components(mask: Mask, min_voxels: int) -> Mask:
    """Remove 3D components under `min_voxels`."""
    return np.asarray(morphology.remove_small_objects(mask, max_size=min_voxels - 1, connectivity=3))


def top_components(mask: Mask, scores: Map | None, count: int, per_slice: bool) -> Mask:
    """Keep the `count` highest-ranked components of the volume or of each slice.

    They are ranked by the sum of `scores`, or without them by voxels; of equals the first in the order of the grid.
    """
    labels, total = components.label(mask, per_slice)
    ranks = components.sizes(labels, total) if scores is None else components.sums(labels, total, scores)
    place = components.slices(labels, total) if per_slice else np.zeros(total, dtype=np.intp)
    order = np.lexsort((np.arange(total), -ranks, place))  # by place, then from the best on
    first = np.searchsorted(place[order], place[order])
    chosen = np.zeros(total, dtype=bool)
    chosen[order] = np.arange(total) - first < count
    return components.keep(labels, chosen)


def footprint(radii: Radii, shape: Shape) -> Bool[np.ndarray, "a b 1"]:
    """A structuring element in axial slices, 2 r + 1 pixels along each axis; a disk may be an ellipse."""
    if shape == "square":
        return np.ones((*(2 * radius + 1 for radius in radii), 1), dtype=bool)
    x, y = (_share(radius) for radius in radii)
    return x[:, None, None] ** 2 + y[:, None] ** 2 <= 1 + _EXACT


def _diamond(rim: Edges) -> Bool[np.ndarray, "a b c"]:
    """What `rim` erosions by the nearest neighbours are together, where it is one number."""
    x, y, z = (np.abs(_share(depth)) for depth in rim)
    return x[:, None, None] + y[:, None] + z <= 1 + _EXACT


def _share(radius: int) -> Float[np.ndarray, "n"]:
    """Offsets from -`radius` to `radius`, as shares of it."""
    return np.arange(-radius, radius + 1) / max(radius, 1)


def _padded(operator: Callable[[Mask, Mask], Mask], mask: Mask, radii: Radii, shape: Shape) -> Mask:
    x, y = radii
    padded = np.pad(mask, [(x, x), (y, y), (0, 0)])
    done = np.asarray(operator(padded, footprint(radii, shape)))
    return done[x : done.shape[0] - x, y : done.shape[1] - y]


def _inside(anomaly: Map, brain: Mask) -> Map:
    return np.where(brain, anomaly, np.float32(0))
