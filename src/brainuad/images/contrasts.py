"""Intensities of tissues and lesions in the phantoms, for each contrast."""

from __future__ import annotations

from typing import Literal

Contrast = Literal["T1w", "T2w", "FLAIR", "CT"]
Lesions = Literal["none", "ms", "tumour", "stroke", "haemorrhage", "subdural", "epidural", "mixed"]

SUFFIX: dict[str, str] = {"T1w": "T1w", "T2w": "T2w", "FLAIR": "FLAIR", "CT": "ct"}
"""BIDS suffix of each contrast."""

_TISSUES: dict[str, tuple[float, float, float, float]] = {
    "white": (1.0, 0.42, 0.62, 27),
    "grey": (0.68, 0.58, 0.78, 36),
    "csf": (0.22, 1.1, 0.14, 8),
    "skull": (0.1, 0.05, 0.05, 1100),
    "diploe": (0.5, 0.35, 0.3, 600),
    "scalp": (0.95, 0.65, 0.7, -40),
    "air": (0, 0, 0, -1000),
    "muscle": (0.55, 0.25, 0.4, 55),
    "fat": (1.0, 0.7, 0.75, -90),
    "bone": (0.12, 0.06, 0.06, 800),
    "marrow": (0.55, 0.4, 0.35, 250),
    "vitreous": (0.18, 1.15, 0.12, 10),
    "cord": (0.9, 0.45, 0.6, 33),
}
_LESIONS: dict[str, tuple[float, float, float, float]] = {
    "plaque": (0.4, 0.95, 1.1, 20),
    "infarct": (0.28, 1.0, 1.1, 15),
    "blood": (1.45, 0.25, 1.0, 68),  # on T1w and T2w as after some days
    "necrosis": (0.3, 1.05, 0.4, 16),
    "rim": (1.45, 0.65, 1.0, 46),  # on T1w as after contrast agent
    "oedema": (0.52, 0.9, 1.05, 18),
}


def _per_contrast(table: dict[str, tuple[float, float, float, float]]) -> dict[str, dict[str, float]]:
    return {contrast: {name: row[i] for name, row in table.items()} for i, contrast in enumerate(SUFFIX)}


INTENSITY = _per_contrast(_TISSUES)
"""Healthy tissue: magnetic resonance relative to T1w white matter, CT in Hounsfield units. Set by eye."""

LESION = _per_contrast(_LESIONS)
"""Lesions of full strength, in the units of INTENSITY."""
