"""Changes of a whole scan as another scanner would make them: contrast, sensitivity, sharpness and noise."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage

from brainuad.config.synthetic import ScannerChanges
from brainuad.images.synthetic_lesions.kinds import Levels

WEAK = 0.25
"""Strength of the changes of most samples."""
QUADRATIC = 10
"""Coefficients of a quadratic in three coordinates."""


def change_scanner(
    image: Float[np.ndarray, "x y z"],
    brain: Bool[np.ndarray, "x y z"],
    levels: Levels,
    spacing: float,
    rng: np.random.Generator,
    settings: ScannerChanges,
) -> Float[np.ndarray, "x y z"]:
    """The scan, or slices of one, after random changes; 0 outside the brain. `levels`: those of the whole scan."""
    strength = 1.0 if rng.random() < settings.strong else WEAK
    gamma = np.exp(strength * settings.gamma * rng.standard_normal())
    gain = _quadratic(rng, image.shape, strength * settings.gain)
    blur = rng.uniform(0, settings.blur_mm) * strength if rng.random() < settings.blur else 0.0
    noise = rng.uniform(0, settings.noise) * strength if rng.random() < settings.noisy else 0.0
    values = image[brain]
    middle = max(levels.tissue, 1e-6)
    values = middle * np.maximum(values / middle, 1e-3) ** np.float32(gamma) * np.exp(gain[brain])
    if noise:
        values = values + np.float32(noise * levels.range) * rng.standard_normal(values.size, dtype=np.float32)
    changed = np.zeros(image.shape, np.float32)
    changed[brain] = values
    if blur:
        changed = _blurred(changed, brain, blur / spacing)
    return changed


def _quadratic(rng: np.random.Generator, shape: tuple[int, ...], sd: float) -> Float[np.ndarray, "x y z"]:
    """A quadratic of the position with random coefficients, float32; `sd` is about its sd over draws."""
    x, y, z = np.ix_(*[np.linspace(-1, 1, n, dtype=np.float32) for n in shape])
    c = (sd * rng.standard_normal(QUADRATIC) / np.sqrt(3)).astype(np.float32)
    plane = c[0] + c[1] * x + c[2] * y + c[3] * x * x + c[4] * y * y + c[5] * x * y
    return np.asarray(plane + z * (c[6] + c[7] * x + c[8] * y) + c[9] * z * z, np.float32)


def _blurred(
    image: Float[np.ndarray, "x y z"], brain: Bool[np.ndarray, "x y z"], sigma: float
) -> Float[np.ndarray, "x y z"]:
    """A Gaussian over brain voxels alone."""
    weight = ndimage.gaussian_filter(brain.astype(np.float32), sigma, mode="constant", truncate=2)
    total = ndimage.gaussian_filter(image, sigma, mode="constant", truncate=2)
    return np.divide(total, weight, out=np.zeros_like(image), where=brain & (weight > 0))
