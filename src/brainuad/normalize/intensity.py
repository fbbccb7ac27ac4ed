"""Intensity scaling inside the brain. What learns from subjects is fitted on training subjects alone."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage

from brainuad.config.recipe import Intensity
from brainuad.errors import InputError

Image = Float[np.ndarray, "x y z"]
Brain = Bool[np.ndarray, "x y z"]
Scaling = dict[str, np.ndarray]
NO_TRAINING_SUBJECT = "no training subject is left to fit intensities on"


def fit(training: Iterable[tuple[Image, Brain]], settings: Intensity) -> Scaling:
    """What `scale` needs to know of the training subjects.

    `landmarks`: quantiles of the standard scale, for `nyul` and `histogram`; `atlas`: mean scaled scan, for `bias_fit`.
    `training` is iterated once for each of them, so it must not be an iterator. Raises InputError if it is empty.
    """
    scaling: Scaling = {}
    if settings.method in ("nyul", "histogram"):
        levels = _levels(settings)
        quantiles = [_quantiles(image[brain], levels) for image, brain in training]
        if not quantiles:
            raise InputError(NO_TRAINING_SUBJECT, do="see the notes in the tables of scans; repair or add subjects")
        landmarks = [(q - q[0]) / max(q[-1] - q[0], 1e-6) for q in quantiles]
        scaling["landmarks"] = np.mean(landmarks, axis=0).astype(np.float32)
    if settings.bias_fit == "linear":
        total: np.ndarray = np.zeros(())
        count: np.ndarray = np.zeros(())
        for image, brain in training:
            total = total + _mapped(image, brain, settings, scaling) * brain
            count = count + brain.astype(np.float32)
        if count.ndim == 0:
            raise InputError(NO_TRAINING_SUBJECT, do="see the notes in the tables of scans; repair or add subjects")
        scaling["atlas"] = np.asarray(total / np.maximum(count, 1), dtype=np.float32)
    return scaling


def scale(image: Image, brain: Brain, settings: Intensity, scaling: Scaling) -> Image:
    """The scaled scan, float32, 0 outside the brain; raises InputError for an empty mask or a brain of one value."""
    if not brain.any():
        raise InputError("the brain mask is empty", do="see the overlay of this subject, or list it under exclude")
    values = image[brain]
    if values.min() == values.max():
        raise InputError("the brain has no contrast", why=f"every voxel is {values[0]:g}", do="exclude the subject")
    scaled = _mapped(image, brain, settings, scaling)
    if settings.bias_fit == "linear":
        scaled = scaled / _linear_trend(scaled, brain, scaling["atlas"])
    if settings.clip:
        scaled = np.clip(scaled, *settings.clip)
    return np.where(brain, scaled, 0).astype(np.float32)


def _mapped(image: Image, brain: Brain, settings: Intensity, scaling: Scaling) -> Image:
    """Intensities on the common scale, before bias and clipping."""
    values = image[brain]
    if settings.method == "zscore":
        return (image - values.mean()) / max(float(values.std()), 1e-6)
    if settings.method == "window":
        low, high = settings.window
        return (image - low) / (high - low)
    if settings.method == "white":
        return image * (settings.white / white_peak(values))
    levels = _levels(settings)
    landmarks = _quantiles(values, levels)
    if settings.method == "percentile":
        return (image - landmarks[0]) / max(landmarks[-1] - landmarks[0], 1e-6)
    return _piecewise(image, landmarks, scaling["landmarks"])


def white_peak(values: Float[np.ndarray, "n"]) -> float:
    """Intensity of white matter in a T1w brain: the brightest peak of the histogram of at least a third of its maximum.

    It replaces the white matter peak of FreeSurfer's `mri_normalize`, without control points.
    """
    low, high = np.percentile(values, (2, 99.5))
    counts, edges = np.histogram(values, bins=128, range=(low, max(high, low + 1e-6)))
    smooth = ndimage.gaussian_filter1d(counts.astype(float), 3.0)
    inner = smooth[1:-1]
    peaks = np.flatnonzero((inner >= smooth[:-2]) & (inner > smooth[2:]) & (inner > smooth.max() / 3)) + 1
    place = int(peaks[-1]) if len(peaks) else int(smooth.argmax())
    return max(float(edges[place] + edges[place + 1]) / 2, 1e-6)


def _levels(settings: Intensity) -> Float[np.ndarray, "n"]:
    """Percentiles of the landmarks: the two ends, with deciles (Nyul 2000) or 254 steps between them."""
    low, high = settings.percentiles
    if settings.method == "nyul":
        return np.array([low, *(p for p in range(10, 100, 10) if low < p < high), high])
    return np.linspace(low, high, 256) if settings.method == "histogram" else np.array([low, high])


def _quantiles(values: Float[np.ndarray, "n"], levels: Float[np.ndarray, "m"]) -> Float[np.ndarray, "m"]:
    return np.percentile(values, levels)


def _piecewise(image: Image, source: Float[np.ndarray, "n"], target: Float[np.ndarray, "n"]) -> Image:
    """Piecewise linear map of `source` to `target`; beyond the ends with the mean slope."""
    source = source + np.arange(len(source)) * 1e-6 * max(
        source[-1] - source[0], 1e-6
    )  # equal quantiles would divide by 0
    mapped = np.interp(image, source, target)
    whole = (target[-1] - target[0]) / (source[-1] - source[0])
    mapped = np.where(image > source[-1], target[-1] + (image - source[-1]) * whole, mapped)
    return np.where(image < source[0], target[0] + (image - source[0]) * whole, mapped)


def _linear_trend(image: Image, brain: Brain, atlas: Image) -> Image:
    """The factor a + b.x between the scan and the atlas, by least squares without outliers.

    Linear, for a fit of higher order removes large lesions as if they were bias.
    """
    axes = [np.linspace(-1, 1, n, dtype=np.float32) for n in image.shape]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    use = brain & (atlas > 0.2)
    design = np.column_stack([np.ones(int(use.sum())), grid[use]]) * atlas[use][:, None]
    target = image[use]
    keep = np.ones(len(target), dtype=bool)
    for _ in range(3):
        factors = np.linalg.lstsq(design[keep], target[keep], rcond=None)[0]
        residual = np.abs(target - design @ factors)
        keep = residual <= 3 * 1.4826 * np.median(residual)
    return np.clip(factors[0] + grid @ factors[1:], 0.3, 3.0)
