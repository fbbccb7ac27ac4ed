"""What preprocessing knows of a modality, by its BIDS suffix."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

CT_TISSUE_HU = (0.0, 80.0)
"""Hounsfield units in which brain tissue differs from air, fluid and bone."""


def is_ct(modality: str) -> bool:
    """Whether it is computed tomography."""
    return modality.lower() == "ct"


def csf_is_bright(modality: str) -> bool:
    """Whether cerebrospinal fluid is the brightest tissue: T2w, and T2 under its other names."""
    return "t2" in modality.lower()


def clip_to_tissue(data: Float[np.ndarray, "..."], modality: str) -> Float[np.ndarray, "..."]:
    """CT clipped to `CT_TISSUE_HU`; other modalities as they are."""
    return np.clip(data, *CT_TISSUE_HU) if is_ct(modality) else data
