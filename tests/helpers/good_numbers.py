"""Quality numbers of a scan with which all is well."""

from __future__ import annotations

from brainuad.formats.quality import NUMBERS

GOOD = dict.fromkeys(NUMBERS, 0.0) | {
    "similarity": 1.08,
    "turned": 0.4,
    "overlap": 0.95,
    "coverage": 1.0,
    "volume_ml": 1300.0,
    "scale_min": 0.8,
    "scale_max": 1.0,
    "white_grey": 0.4,
    "fluid": -0.5,
    "level": 500.0,
}
