"""How a scan looks, apart from where it lies: clipping, noise, ghosts, missing slices, contrast of its tissues."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage

from brainuad.formats.volume import Volume
from brainuad.images.template import Mni152, Template
from brainuad.preprocess.head import CT_WINDOW, foreground_of, otsu

Mask = Bool[np.ndarray, "x y z"]
Image = Float[np.ndarray, "x y z"]
STEP = 4.0
"""mm; the grid on which the air around a head is looked at."""
AWAY = 16.0
"""mm between head and the air that is looked at: nearer lies the blur of the skin."""
SLICE_SHARE = 0.2
"""Slices with less than this share of the widest one's brain are too small to judge."""


def clipped(scan: Volume, brain: Mask) -> float | None:
    """Share of the brain's voxels that have the scan's highest value. `brain`: on the scan's grid; None if empty."""
    return float((scan.data[brain] >= scan.data.max()).mean()) if brain.any() else None


def noise(scan: Volume, brain: Mask, modality: str) -> float | None:
    """Standard deviation of the noise inside the brain, as a share of the range of its tissues.

    From second differences along the two finest axes, which edges and slow changes leave out (Immerkaer 1996), by their
    median. The range: 5th to 95th percentile of the smoothed brain; of CT the 80 HU of its window. None where the brain
    is too thin to look into.
    """
    first, second = np.argsort(scan.spacing, kind="stable")[:2]
    inner = ndimage.binary_erosion(brain, iterations=2)
    if not inner.any():
        return None
    box = tuple(slice(max(0, s.start - 2), s.stop + 2) for s in ndimage.find_objects(inner.astype(np.int8))[0])
    data, inner = scan.data[box].astype(np.float32), inner[box]
    kernel = np.array([1.0, -2.0, 1.0], np.float32)
    detail = ndimage.convolve1d(ndimage.convolve1d(data, kernel, axis=int(first)), kernel, axis=int(second))
    deviation = float(np.median(np.abs(detail[inner]))) / 0.6745 / 6.0
    if modality.lower() == "ct":
        return deviation / (CT_WINDOW[1] - CT_WINDOW[0])
    smooth = ndimage.gaussian_filter(data, 2.0 / scan.spacing)
    low, high = np.percentile(smooth[inner], (5, 95))
    return deviation / max(float(high - low), 1e-9)


def ghosts(scan: Volume, brain: Mask) -> float | None:
    """Structure in the air around the head, as a share of the brain's median: what motion and wrapping leave there.

    98th less 10th percentile after smoothing, which white noise hardly passes. None where there is no air to look at:
    in stripped scans, in those whose background was set to one value, and where the head fills the field of view.
    """
    sigma = 0.5 * STEP / scan.spacing
    step = tuple(slice(None, None, max(1, round(STEP / s))) for s in scan.spacing)
    coarse = ndimage.gaussian_filter(np.asarray(scan.data, np.float32), sigma)[step]
    spacing = [s * (part.step or 1) for s, part in zip(scan.spacing, step, strict=True)]
    head = ndimage.binary_opening(coarse > otsu(coarse) / 2)
    air = ndimage.distance_transform_edt(~head, sampling=spacing) > AWAY
    real = foreground_of(scan)[step]
    level = float(np.median(scan.data[brain])) if brain.any() else 0.0
    if air.sum() < 500 or real[air].mean() < 0.5 or level <= 0:
        return None
    low, high = np.percentile(coarse[air], (10, 98))
    return float(high - low) / level


def missing_slices(scan: Volume, brain: Mask) -> float | None:
    """Share of the brain's slices that hold one value alone, or fall to under half of the brighter ones around them.

    Along the axis where it is largest. `brain`: on the scan's grid, so that a slab that was lost lies in it; None if it
    is empty.
    """
    if not brain.any():
        return None
    low = float(np.percentile(scan.data[::4, ::4, ::2], 1))
    return max(_missing_along(axis, scan.data, brain, low) for axis in range(3))


def _missing_along(axis: int, data: Image, brain: Mask, low: float) -> float:
    area = brain.sum(axis=tuple({0, 1, 2} - {axis}))
    judged = np.flatnonzero(area > SLICE_SHARE * area.max())
    means, flat = [], []
    for index in judged:
        values = np.take(data, index, axis)[np.take(brain, index, axis)]
        means.append(float(values.mean()) - low)
        flat.append(bool((values == np.median(values)).mean() > 0.95))
    around = ndimage.percentile_filter(np.array(means), 75, 9, mode="nearest")
    dark = np.array(means) < 0.5 * around
    return float((dark | np.array(flat, bool)).mean())


def contrast(image: Image, brain: Mask, template: Template) -> dict[str, float]:
    """How tissues differ, in units of the range of the brain (5th to 95th percentile), on the template's grid.

    `white_grey`: white less grey matter; `fluid`: fluid in the brain's middle less grey matter. Above 0: brighter.
    Medians over voxels that the template's maps are sure of, so that lesions and a rough registration matter little.
    Empty for a template without maps of tissues.
    """
    if not isinstance(template, Mni152):
        return {}
    x, y, z = np.ix_(*(template.affine[i, 3] + template.affine[i, i] * np.arange(n) for i, n in enumerate(brain.shape)))
    middle = (np.abs(x) < 30) & (np.abs(y + 15) < 40) & (z > -5) & (z < 35)
    white, grey = brain & (template.white > 0.9), brain & (template.grey > 0.8)
    fluid = brain & middle & (template.white + template.grey < 0.15)
    if not (white.any() and grey.any() and fluid.any()):
        return {}
    low, high = np.percentile(image[brain], (5, 95))
    scale = max(float(high - low), 1e-9)
    of_grey = float(np.median(image[grey]))
    return {
        "white_grey": (float(np.median(image[white])) - of_grey) / scale,
        "fluid": (float(np.median(image[fluid])) - of_grey) / scale,
    }
