"""Quality numbers of a scan with which all is well."""

from __future__ import annotations

from brainuad.formats.quality import NUMBERS

GOOD = dict.fromkeys(NUMBERS, 0.0) | {
    "nmi": 1.08,
    "half_turn_ratio": 0.4,
    "template_dice": 0.95,
    "coverage": 1.0,
    "volume_ml": 1300.0,
    "scale_min": 0.8,
    "scale_max": 1.0,
    "white_grey_contrast": 0.4,
    "csf_grey_contrast": -0.5,
    "median_intensity": 500.0,
}
