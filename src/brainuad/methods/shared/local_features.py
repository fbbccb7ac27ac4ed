"""Features of the neighbourhood of each voxel, from the brain alone: pure functions on arrays."""

from __future__ import annotations

import numpy as np

from brainuad.methods.base import Brain, Image

Spacing = tuple[float, float, float]


def local_mean_and_sd(image: Image, brain: Brain, sigma_mm: float, spacing: Spacing) -> tuple[Image, Image]:
    """Mean and sd under a Gaussian of sigma `sigma_mm`, inside the brain; 0 outside."""
    from brainuad.images.smooth import smooth_inside  # late: it takes scipy, and settings are read without it

    mean = smooth_inside(image, brain, sigma_mm, spacing)
    variance = smooth_inside(np.square(image - mean), brain, sigma_mm, spacing)
    return mean, np.sqrt(np.maximum(variance, 0))


def gradient_magnitude(image: Image, brain: Brain, spacing: Spacing) -> Image:
    """Magnitude of the gradient a mm, along each axis only where both neighbours are in the brain; 0 outside."""
    squares = np.zeros(image.shape, np.float32)
    for axis, step in enumerate(spacing):
        along, along_brain = np.moveaxis(image, axis, 0), np.moveaxis(brain, axis, 0)
        both = along_brain[2:] & along_brain[1:-1] & along_brain[:-2]
        slope = np.where(both, (along[2:] - along[:-2]) / (2 * step), 0)
        np.moveaxis(squares, axis, 0)[1:-1] += np.square(slope)
    return np.sqrt(squares)
