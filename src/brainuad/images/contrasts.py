"""What tissues and lesions look like in each kind of scan."""

from __future__ import annotations

from typing import Literal

Contrast = Literal["T1w", "T2w", "FLAIR", "CT"]

# Magnetic resonance: relative to T1w white matter = 1. CT: Hounsfield units.
INTENSITY: dict[str, dict[str, float]] = {
    "T1w": {
        "white": 1,
        "grey": 0.68,
        "csf": 0.22,
        "skull": 0.1,
        "diploe": 0.5,
        "scalp": 0.95,
        "air": 0,
        "muscle": 0.55,
        "fat": 1.0,
    }
    | {"bone": 0.12, "marrow": 0.55, "vitreous": 0.18, "cord": 0.9},
    "T2w": {
        "white": 0.42,
        "grey": 0.58,
        "csf": 1.1,
        "skull": 0.05,
        "diploe": 0.35,
        "scalp": 0.65,
        "air": 0,
        "muscle": 0.25,
        "fat": 0.7,
    }
    | {"bone": 0.06, "marrow": 0.4, "vitreous": 1.15, "cord": 0.45},
    "FLAIR": {
        "white": 0.62,
        "grey": 0.78,
        "csf": 0.14,
        "skull": 0.05,
        "diploe": 0.3,
        "scalp": 0.7,
        "air": 0,
        "muscle": 0.4,
        "fat": 0.75,
    }
    | {"bone": 0.06, "marrow": 0.35, "vitreous": 0.12, "cord": 0.6},
    "CT": {
        "white": 27.0,
        "grey": 36,
        "csf": 8,
        "skull": 1100,
        "diploe": 600,
        "scalp": -40,
        "air": -1000,
        "muscle": 55,
        "fat": -90,
    }
    | {"bone": 800, "marrow": 250, "vitreous": 10, "cord": 33},
}
"""Values of healthy tissue (feasibility recipe for brain and skull; the rest by eye)."""

LESION: dict[str, dict[str, float]] = {
    "T1w": {"plaque": 0.4, "infarct": 0.28, "blood": 1.3, "necrosis": 0.3, "rim": 1.3, "oedema": 0.58},
    "T2w": {"plaque": 0.95, "infarct": 1.0, "blood": 0.25, "necrosis": 1.05, "rim": 0.65, "oedema": 0.9},
    "FLAIR": {"plaque": 1.1, "infarct": 1.1, "blood": 1.0, "necrosis": 0.4, "rim": 1.0, "oedema": 1.05},
    "CT": {"plaque": 20, "infarct": 15, "blood": 68, "necrosis": 16, "rim": 46, "oedema": 18},
}
"""Values that a lesion of full strength reaches; T1w as after contrast agent (bright rim), blood as after days."""

SUFFIX: dict[str, str] = {"T1w": "T1w", "T2w": "T2w", "FLAIR": "FLAIR", "CT": "ct"}
"""BIDS suffix of each contrast."""
