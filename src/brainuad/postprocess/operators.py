"""Operators on maps and on masks (models.md 4.2): pure functions; axial slices are planes of the first two axes."""

from __future__ import annotations

from typing import Literal

import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage

from brainuad.images import components

Map = Float[np.ndarray, "x y z"]
Mask = Bool[np.ndarray, "x y z"]

_CHUNK = 8192  # voxels whose neighbours are looked at together


def median3d(anomaly: Map, brain: Mask, size: int) -> Map:
    """Median over a cube of `size` voxels (odd), the zeros outside the brain among them; 0 outside the brain."""
    cubes = np.lib.stride_tricks.sliding_window_view(np.pad(anomaly, size // 2), (size, size, size))
    smooth = np.zeros_like(anomaly)
    x, y, z = np.nonzero(brain)
    for start in range(0, len(x), _CHUNK):  # four times as fast as a filter of the grid
        part = np.s_[start : start + _CHUNK]
        values = cubes[x[part], y[part], z[part]].reshape(-1, size**3)
        values.partition(size**3 // 2, axis=1)
        smooth[x[part], y[part], z[part]] = values[:, size**3 // 2]
    return smooth


def gaussian(anomaly: Map, brain: Mask, sigma: tuple[float, float, float]) -> Map:
    """Gaussian of `sigma` voxels over brain voxels alone (normalised convolution); 0 outside the brain."""
    weight = ndimage.gaussian_filter(brain.astype(np.float32), sigma)
    smooth = ndimage.gaussian_filter(_inside(anomaly, brain), sigma)
    return np.divide(smooth, weight, out=np.zeros_like(smooth), where=brain)


def brain_mask_erode(anomaly: Map, brain: Mask, iterations: int, plane: bool) -> Map:
    """Let nothing stand above 0 in the outer rim of the brain, `iterations` voxels deep; in axial slices or in 3D."""
    cross = ndimage.generate_binary_structure(3, 1)
    core = ndimage.binary_erosion(brain, cross[:, :, 1:2] if plane else cross, iterations=iterations)
    return np.where(core, anomaly, np.minimum(anomaly, 0))


def hyperintensity_prior(anomaly: Map, brain: Mask, image: Map, quantile: float) -> Map:
    """Let nothing stand above 0 where the scan is darker than the `quantile` of its brain (Baur 2021)."""
    bright = image >= np.quantile(image[brain], quantile)
    return np.where(bright, anomaly, np.minimum(anomaly, 0))


def closing(mask: Mask, radius: int, shape: Literal["disk", "square"]) -> Mask:
    """Binary closing in axial slices; the edge of the grid takes nothing away."""
    pad = [(radius, radius), (radius, radius), (0, 0)]
    closed = ndimage.binary_closing(np.pad(mask, pad), element(radius, shape))
    return closed[radius:-radius, radius:-radius]


def opening(mask: Mask, radius: int, shape: Literal["disk", "square"]) -> Mask:
    """Binary opening in axial slices."""
    return ndimage.binary_opening(mask, element(radius, shape))


def dilation(mask: Mask, radius: int, shape: Literal["disk", "square"]) -> Mask:
    """Binary dilation in axial slices."""
    return ndimage.binary_dilation(mask, element(radius, shape))


def area_opening_abs(mask: Mask, pixels: int) -> Mask:
    """Drop components of a slice under `pixels`."""
    labels, count = components.label(mask, plane=True)
    return components.keep(labels, components.sizes(labels, count) >= pixels)


def area_opening_rel(mask: Mask, share: float) -> Mask:
    """Drop components of a slice that are smaller than `share` of the largest one there (Paolini)."""
    labels, count = components.label(mask, plane=True)
    sizes, place = components.sizes(labels, count), components.slices(labels, count)
    largest = np.zeros(mask.shape[2], dtype=sizes.dtype)
    np.maximum.at(largest, place, sizes)
    return components.keep(labels, sizes >= share * largest[place])


def cc_min_size(mask: Mask, voxels: int) -> Mask:
    """Drop 3D components under `voxels`."""
    labels, count = components.label(mask)
    return components.keep(labels, components.sizes(labels, count) >= voxels)


def top_k(mask: Mask, anomaly: Map, k: int, rank: Literal["size", "residual"], plane: bool) -> Mask:
    """Keep the `k` best components of the volume or of each slice, by voxels or by the sum of the map."""
    labels, count = components.label(mask, plane)
    scores = components.sizes(labels, count) if rank == "size" else components.sums(labels, count, anomaly)
    place = components.slices(labels, count) if plane else np.zeros(count, dtype=np.intp)
    order = np.lexsort((np.arange(count), -scores, place))  # by place, then from the best on
    first = np.searchsorted(place[order], place[order])
    chosen = np.zeros(count, dtype=bool)
    chosen[order] = np.arange(count) - first < k
    return components.keep(labels, chosen)


def element(radius: int, shape: Literal["disk", "square"]) -> Bool[np.ndarray, "d d 1"]:
    """A structuring element in axial slices, d = 2 `radius` + 1."""
    x, y = np.ogrid[-radius : radius + 1, -radius : radius + 1]
    flat = x**2 + y**2 <= radius**2 if shape == "disk" else np.maximum(abs(x), abs(y)) <= radius
    return flat[:, :, None]


def _inside(anomaly: Map, brain: Mask) -> Map:
    return np.where(brain, anomaly, np.float32(0))
