"""Image quality: clipping, noise, ghosting, missing slices, contrast between tissues."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage

from brainuad.formats.handling import Handling
from brainuad.formats.volume import Volume
from brainuad.images.template import Mni152, Template
from brainuad.preprocess.brain_mask.foreground import foreground
from brainuad.preprocess.modality import CT_TISSUE_HU, is_ct
from brainuad.preprocess.threshold import head_threshold

Mask = Bool[np.ndarray, "x y z"]
Image = Float[np.ndarray, "x y z"]
AIR_SPACING_MM = 4.0
"""Voxel size at which the air around a head is examined."""
AIR_DISTANCE_MM = 16.0
"""Between the head and the air that is examined: nearer, the skin is blurred into it."""
MIN_AIR_VOXELS = 500
SPIKE = 10.0
"""Voxels brighter than this multiple of the 99.9th percentile are faults. Measured: 97 real scans 3.2 at most."""
FEW_VALUES = 16
"""A segmentation has no more, and a scan that has no more is too coarse for tissue contrast."""
MIN_SLICE_AREA = 0.2
"""Slices with less brain, as a share of the largest slice, are not judged."""

HANDLED = (
    Handling(
        "values",
        f"single voxels more than {SPIKE:g} times as bright as 99.9% of the scan",
        "accepted",
        "a note counts them",
    ),
    Handling(
        "values", f"at most {FEW_VALUES} different values", "accepted", "a note says that segmentations have as few"
    ),
)


def value_notes(scan: Volume) -> list[str]:
    """Notes on values that no scanner gives: single voxels far too bright, and few different values."""
    notes = []
    if spikes := int((scan.data > SPIKE * _bright(scan)).sum()):
        notes.append(f"{spikes:,} voxels are more than {SPIKE:g} times as bright as 99.9 % of the scan")
    if (count := np.unique(scan.data[::4, ::4, ::2]).size) <= FEW_VALUES:
        notes.append(f"it holds {count} different values, as a segmentation does")
    return notes


def _bright(scan: Volume) -> float:
    """The 99.9th percentile; infinite where it is not above 0."""
    high = float(np.percentile(scan.data[::2, ::2, ::2], 99.9))
    return high if high > 0 else float("inf")


def clipped_fraction(scan: Volume, brain: Mask) -> float | None:
    """Share of the brain's voxels that have the scan's highest value. `brain`: on the scan's grid; None if empty."""
    return float((scan.data[brain] >= scan.data.max()).mean()) if brain.any() else None


def noise_ratio(scan: Volume, brain: Mask, modality: str) -> float | None:
    """Standard deviation of the noise inside the brain, as a share of the range of its tissues.

    From the median of second differences along the two finest axes, which suppress edges and slow changes (Immerkaer
    1996). The range: 5th to 95th percentile of the smoothed brain; 80 HU for CT. None where the brain is too thin.
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
    if is_ct(modality):
        return deviation / (CT_TISSUE_HU[1] - CT_TISSUE_HU[0])
    smooth = ndimage.gaussian_filter(data, 2.0 / scan.spacing)
    low, high = np.percentile(smooth[inner], (5, 95))
    return deviation / max(float(high - low), 1e-9)


def ghosting_ratio(scan: Volume, brain: Mask) -> float | None:
    """Structure in the air around the head, as motion and wrap-around leave it, as a share of the brain's median.

    98th minus 10th percentile after smoothing, which suppresses white noise. None where there is no air to examine: in
    stripped scans, in those whose background was set to one value, and where the head fills the field of view.
    """
    sigma = 0.5 * AIR_SPACING_MM / scan.spacing
    step = tuple(slice(None, None, max(1, round(AIR_SPACING_MM / s))) for s in scan.spacing)
    # single voxels that are far too bright would be spread over the air
    data = np.minimum(scan.data, high) if scan.data.max() > SPIKE * (high := _bright(scan)) else scan.data
    coarse = ndimage.gaussian_filter(np.asarray(data, np.float32), sigma)[step]
    spacing = [s * (part.step or 1) for s, part in zip(scan.spacing, step, strict=True)]
    head = ndimage.binary_opening(coarse > head_threshold(coarse))
    air = ndimage.distance_transform_edt(~head, sampling=spacing) > AIR_DISTANCE_MM
    measured = foreground(scan)[step]
    median = float(np.median(scan.data[brain])) if brain.any() else 0.0
    if air.sum() < MIN_AIR_VOXELS or measured[air].mean() < 0.5 or median <= 0:
        return None
    low, high = np.percentile(coarse[air], (10, 98))
    return float(high - low) / median


def missing_slice_fraction(scan: Volume, brain: Mask) -> float | None:
    """Share of the brain's slices that hold one value only, or are less than half as bright as those around them.

    Along the axis where it is largest. `brain`: on the scan's grid, from the template, so that lost slices lie in it;
    None if it is empty.
    """
    if not brain.any():
        return None
    low = float(np.percentile(scan.data[::4, ::4, ::2], 1))
    return max(_missing_along(axis, scan.data, brain, low) for axis in range(3))


def _missing_along(axis: int, data: Image, brain: Mask, low: float) -> float:
    area = brain.sum(axis=tuple({0, 1, 2} - {axis}))
    judged = np.flatnonzero(area > MIN_SLICE_AREA * area.max())
    means, constant = [], []
    for index in judged:
        values = np.take(data, index, axis)[np.take(brain, index, axis)]
        means.append(float(values.mean()) - low)
        constant.append(bool((values == np.median(values)).mean() > 0.95))
    neighbours = ndimage.percentile_filter(np.array(means), 75, 9, mode="nearest")
    dark = np.array(means) < 0.5 * neighbours
    return float((dark | np.array(constant, bool)).mean())


def tissue_contrast(image: Image, brain: Mask, template: Template) -> dict[str, float]:
    """Differences between tissues in units of the brain's range (5th to 95th percentile), on the template's grid.

    `white_grey_contrast`: white minus grey matter; `csf_grey_contrast`: ventricular fluid minus grey matter. Medians
    over voxels of high tissue probability, so that lesions and small registration errors have little effect. Empty for
    a template without tissue maps, and where the mask holds none of a tissue.
    """
    if not isinstance(template, Mni152):
        return {}
    x, y, z = np.ix_(*(template.affine[i, 3] + template.affine[i, i] * np.arange(n) for i, n in enumerate(brain.shape)))
    middle = (np.abs(x) < 30) & (np.abs(y + 15) < 40) & (z > -5) & (z < 35)
    white, grey = brain & (template.white > 0.9), brain & (template.grey > 0.8)
    csf = brain & middle & (template.white + template.grey < 0.15)
    if not (white.any() and grey.any() and csf.any()):
        return {}
    low, high = np.percentile(image[brain], (5, 95))
    scale = max(float(high - low), 1e-9)
    grey_median = float(np.median(image[grey]))
    return {
        "white_grey_contrast": (float(np.median(image[white])) - grey_median) / scale,
        "csf_grey_contrast": (float(np.median(image[csf])) - grey_median) / scale,
    }
