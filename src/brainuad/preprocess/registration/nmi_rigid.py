"""Rigid registration of a sequence to another of its session, by the measure of `nmi_search`: starts, then ascent.

docs/benchmarks.md compares it with SimpleITK, which `same_session` uses.
"""

from __future__ import annotations

from itertools import product

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy import ndimage

from brainuad.images.threads import single_thread
from brainuad.preprocess.registration.input import HEAD, RegistrationInput
from brainuad.preprocess.registration.nmi_search import RIGID, UNITS, Fixed, Level, NmiMeasure, ascend

Matrix = Float[np.ndarray, "4 4"]
PITCH_DEG, SHIFT_MM = (0.0, -15.0, -7.0, 7.0, 15.0), (0.0, -12.0, 12.0)
"""Of the starts, about the places that headers and heads give: heads nod between sequences."""
STARTS_KEPT = 4
LEVELS = (Level(3.0, 4_000, 50, 2.0, RIGID), Level(1.5, 8_000, 50, 0.8, RIGID), Level(0.5, 16_000, 40, 0.3, RIGID))
MIN_GAIN = 0.02
"""Share by which the information of two scans must rise before their headers are overruled."""
AT_ONCE = 30


def register_rigidly(reference: RegistrationInput, scan: RegistrationInput, seed: int = 0) -> Matrix:
    """The rigid transform from the reference's world to the scan's (mm); the identity where none is better."""
    head = np.argwhere(reference.volume.data > HEAD)
    order = head[np.random.default_rng(seed).permutation(len(head))]
    starts = _starts(reference, scan)
    with single_thread():
        measure = _measure(reference, scan, LEVELS[0], order)
        with torch.no_grad():
            scores = torch.cat([measure.nmi(chunk) for chunk in starts.split(AT_ONCE)])
        best = ascend(measure, starts[torch.topk(scores, STARTS_KEPT).indices], LEVELS[0])
        for level in LEVELS[1:]:
            measure = _measure(reference, scan, level, order)
            with torch.no_grad():
                best = best[measure.nmi(best).argmax()][None]
            best = ascend(measure, best, level)
        with torch.no_grad():
            by_header, found = (measure.nmi(torch.cat([starts[:1], best])) - 1).tolist()
        return measure.matrix(best[0]) if found > by_header * (1 + MIN_GAIN) else np.eye(4)


def _starts(reference: RegistrationInput, scan: RegistrationInput) -> Float[torch.Tensor, "starts 12"]:
    """Poses about what the headers say, which is the first, and about the places of the two heads."""
    poses = list(product(PITCH_DEG, SHIFT_MM, SHIFT_MM))
    by_header = torch.zeros(len(poses), len(UNITS))
    for row, (pitch, forward, up) in enumerate(poses):
        by_header[row, 1:4] = torch.tensor([forward, up, np.deg2rad(pitch)]) / torch.tensor(UNITS[1:4])
    between = (scan.scan_point - scan.template_point) - (reference.scan_point - reference.template_point)
    by_heads = by_header.clone()
    by_heads[:, :3] += torch.tensor(between, dtype=torch.float32)
    return torch.cat([by_header, by_heads])


def _measure(
    reference: RegistrationInput, scan: RegistrationInput, level: Level, order: Int[np.ndarray, "points 3"]
) -> NmiMeasure:
    volume, index = reference.volume, order[: level.points]
    smooth = ndimage.gaussian_filter(volume.data, level.sigma / volume.spacing)
    points = index @ volume.affine[:3, :3].T + volume.affine[:3, 3]
    values = torch.from_numpy(np.clip(smooth[tuple(index.T)], 0, 1).astype(np.float32))
    centre = reference.scan_point
    return NmiMeasure(
        scan.volume, Fixed(torch.tensor(points, dtype=torch.float32), values, centre, centre), level.sigma
    )
