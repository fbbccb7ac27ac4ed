"""The picture of a preprocessed scan: three slices of the brain with two contours, one of the lesions, and no face."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, UInt8
from scipy import ndimage
from skimage.segmentation import mark_boundaries

from brainuad.formats.files import atomic
from brainuad.images.template import Template

Mask = Bool[np.ndarray, "x y z"]
Picture = UInt8[np.ndarray, "rows columns 3"]
SLICES_MNI = (-4.0, -18.0, 12.0)
"""Point (mm) where the three slices cross: thalamus, ventricles and brain stem are in view."""
MARGIN_MM = 6.0
"""Shown around the brain: enough to see a mask that is too small, too little for a face."""
TEMPLATE_COLOUR, BRAIN_COLOUR, LESION_COLOUR = (0, 200, 255), (255, 190, 0), (255, 70, 160)
ZOOM = 3


def overlay(image: Float[np.ndarray, "x y z"], brain: Mask, template: Template, lesion: Mask | None = None) -> Picture:
    """`image` near the brain in grey, the contour of the template's brain in blue, that of the brain mask in orange.

    With a `lesion` that has voxels its contour in pink, and the axial slice with the most of it as a fourth one.
    """
    spacing = float(np.linalg.norm(template.affine[:3, 0]))
    index = np.linalg.solve(template.affine[:3, :3], template.at(SLICES_MNI) - template.affine[:3, 3])
    shown = ndimage.binary_dilation(brain | template.brain, iterations=max(1, round(MARGIN_MM / spacing)))
    low, high = np.percentile(image[brain] if brain.any() else image[template.brain], (0.5, 99.5))
    grey = np.where(shown, np.clip((image - low) / max(high - low, 1e-6), 0, 1), 0)
    contours = [(template.brain, TEMPLATE_COLOUR), (brain, BRAIN_COLOUR)]
    cuts = list(enumerate(index.round().astype(int)))
    if lesion is not None and lesion.any():
        contours.append((lesion & shown, LESION_COLOUR))
        cuts.append((2, int(lesion.sum(axis=(0, 1)).argmax())))
    panels = [
        _panel(np.take(grey, i, axis), [(np.take(mask, i, axis), colour) for mask, colour in contours])
        for axis, i in cuts
    ]
    rows = max(panel.shape[0] for panel in panels)
    return np.concatenate([np.pad(p, ((0, rows - p.shape[0]), (0, 0), (0, 0))) for p in panels], axis=1)


def write(path: Path, picture: Picture) -> None:
    """Write a PNG."""
    from PIL import Image

    with atomic(path) as part:
        Image.fromarray(picture).save(part)


def _panel(grey: np.ndarray, contours: Sequence[tuple[np.ndarray, tuple[int, int, int]]]) -> Picture:
    """One slice, enlarged, its second axis upwards."""
    picture = np.repeat(_enlarged(grey)[..., None], 3, axis=2)
    for mask, colour in contours:
        picture = mark_boundaries(picture, _enlarged(mask).astype(int), color=np.divide(colour, 255), mode="thick")
    return np.asarray((255 * picture).round(), dtype=np.uint8).transpose(1, 0, 2)[::-1]


def _enlarged(part: np.ndarray) -> np.ndarray:
    return np.kron(part, np.ones((ZOOM, ZOOM), part.dtype))
