"""The preview of a scan: a picture of axial slices, with the outline of the mask above and the anomaly map below."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from brainuad.formats.files import atomic
from brainuad.predict.found import Found
from brainuad.report import slices

COLUMNS, ROWS = 6, 2
"""Slices in a row; rows of the scan, with as many of the map."""
WHITE_QUANTILE = 99.5
"""Of the brain's intensities, which is drawn white."""


def write(path: Path, found: Found) -> None:
    """Write the preview as PNG."""
    with atomic(path) as part:
        Image.fromarray(picture(found)).save(part)


def picture(found: Found) -> UInt8[np.ndarray, "rows columns 3"]:
    """Slices from below to the top of the brain, on the models' grid; the brightest colour is twice the threshold.

    Without a threshold it is the highest value of the map.
    """
    inside = np.flatnonzero(found.brain.any(axis=(0, 1)))
    low, high = (inside[0], inside[-1]) if inside.size else (0, found.brain.shape[2] - 1)
    levels = np.linspace(low, high, COLUMNS * ROWS + 2).round().astype(int)[1:-1]
    box = slices.bounding_box(found.brain)
    white = float(np.percentile(found.image[found.brain], WHITE_QUANTILE)) if inside.size else 1.0
    threshold = found.thresholds.get(found.threshold, 0.0)
    top = 2 * threshold if threshold > 0 else float(found.processed.max())
    mask = found.masks.get(found.threshold, np.zeros(found.brain.shape, dtype=bool))
    scans, maps = [], []
    for level in levels:
        image, brain, anomaly, marked = (
            slices.axial(part, int(level), box) for part in (found.image, found.brain, found.processed, mask)
        )
        scans.append(slices.outlined(slices.grey(image, brain, white), marked, slices.PREDICTED_COLOUR))
        maps.append(slices.outlined(slices.heat(anomaly, brain, top), marked, slices.PREDICTED_COLOUR))
    rows = []
    for first in range(0, len(levels), COLUMNS):
        rows += [np.concatenate(part[first : first + COLUMNS], axis=1) for part in (scans, maps)]
    return np.concatenate(rows)
