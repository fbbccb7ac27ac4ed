"""The picture of a scan for the contact sheet: three slices through its first finding, with the mask's outline."""

from __future__ import annotations

import numpy as np
from jaxtyping import UInt8

from brainuad.predict.findings import Finding
from brainuad.predict.found import Found
from brainuad.report import slices

GAP = 6
"""Pixels between the slices."""


def picture(found: Found, findings: list[Finding], threshold: str) -> UInt8[np.ndarray, "rows columns 3"]:
    """Axial, coronal and sagittal slice; through the middle of the brain if there is no finding."""
    mask = found.masks.get(threshold, np.zeros(found.brain.shape, dtype=bool))
    at = _place(found, findings)
    white = float(np.percentile(found.image[found.brain], 99.5)) if found.brain.any() else 1.0
    panels = []
    for axis in (2, 1, 0):
        image, brain, outline = (np.take(part, at[axis], axis).T[::-1] for part in (found.image, found.brain, mask))
        panels.append(slices.outlined(slices.grey(image, brain, white), outline, slices.PREDICTED_COLOUR))
    rows = max(panel.shape[0] for panel in panels)
    pad = [np.pad(p, ((0, rows - p.shape[0]), (0, GAP), (0, 0)), constant_values=slices.PAPER) for p in panels]
    return np.concatenate(pad, axis=1)


def _place(found: Found, findings: list[Finding]) -> np.ndarray:
    inside = np.argwhere(found.brain)
    if not findings:
        return np.median(inside, axis=0).astype(int) if len(inside) else np.array(found.brain.shape) // 2
    world = found.prepared.transform.inverse().matrix @ [*findings[0].peak_scan_mm, 1]
    index = np.linalg.solve(found.affine, world)[:3].round().astype(int)
    return np.clip(index, 0, np.array(found.brain.shape) - 1)
