"""A picture to judge a subject by: three slices of the registered brain with two contours, and no face."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, UInt8
from scipy import ndimage

from brainuad.formats.files import atomic
from brainuad.images.template import Template

Mask = Bool[np.ndarray, "x y z"]
CUT = (-4.0, -18.0, 12.0)
"""MNI point (mm) where the three slices cross: thalamus, ventricles and brain stem are in view."""
MARGIN = 6.0
"""mm shown around the brain: enough to see a cut, too little for a face."""
TEMPLATE_COLOUR, BRAIN_COLOUR = (0, 200, 255), (255, 190, 0)
ZOOM = 3


def overlay(image: Float[np.ndarray, "x y z"], brain: Mask, template: Template) -> UInt8[np.ndarray, "rows columns 3"]:
    """RGB picture: `image` near the brain in grey, the template's contour in blue, the brain mask's in orange."""
    spacing = float(np.linalg.norm(template.affine[:3, 0]))
    index = np.linalg.solve(template.affine[:3, :3], template.at(CUT) - template.affine[:3, 3]).round().astype(int)
    near = ndimage.binary_dilation(brain | template.brain, iterations=max(1, round(MARGIN / spacing)))
    inside = image[brain] if brain.any() else image[template.brain]
    low, high = np.percentile(inside, (0.5, 99.5))
    grey = np.where(near, np.clip((image - low) / max(high - low, 1e-6), 0, 1), 0)
    panels = [
        _panel(np.take(grey, i, a), np.take(brain, i, a), np.take(template.brain, i, a)) for a, i in enumerate(index)
    ]
    rows = max(panel.shape[0] for panel in panels)
    return np.concatenate([np.pad(p, ((0, rows - p.shape[0]), (0, 0), (0, 0))) for p in panels], axis=1)


def write(path: Path, picture: UInt8[np.ndarray, "rows columns 3"]) -> None:
    """Write a PNG."""
    from PIL import Image

    with atomic(path) as part:
        Image.fromarray(picture).save(part)


def _panel(grey: np.ndarray, brain: np.ndarray, template: np.ndarray) -> UInt8[np.ndarray, "rows columns 3"]:
    large = np.kron(grey, np.ones((ZOOM, ZOOM)))
    picture = np.repeat((255 * large)[..., None], 3, axis=2).astype(np.uint8)
    for mask, colour in ((template, TEMPLATE_COLOUR), (brain, BRAIN_COLOUR)):
        thick = np.kron(mask, np.ones((ZOOM, ZOOM), dtype=bool))
        picture[thick & ~ndimage.binary_erosion(thick, iterations=2)] = colour
    return picture.transpose(1, 0, 2)[::-1]
