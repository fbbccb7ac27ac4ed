"""Metrics of reconstructions: a number for each scan; `metrics.tsv` holds the mean over patients."""

from __future__ import annotations

import numpy as np
from skimage.metrics import structural_similarity

from brainuad.metrics.evidence import ReconstructionEvidence
from brainuad.metrics.registry import metric

SIGMA = 1.5
"""Of the Gaussian window, in voxels (Wang 2004)."""
MARGIN = 6
"""Voxels of zeros around the brain, so that the window of 11 voxels fits everywhere."""


@metric(ReconstructionEvidence, label="SSIM", direction="higher")
def ssim(scan: ReconstructionEvidence) -> float:
    """Structural similarity of scan and reconstruction (Wang 2004), mean over the scored brain; outside both are 0.

    Range of intensities: that of the scan in its brain.
    """
    inside = scan.image[scan.brain]
    spread = float(inside.max() - inside.min()) if inside.size else 0.0
    if not spread or not scan.scored.any():
        return np.nan
    image, reconstruction = (
        np.pad(np.where(scan.brain, volume, 0), MARGIN).astype(float) for volume in (scan.image, scan.reconstruction)
    )
    _, similarity = structural_similarity(
        image,
        reconstruction,
        data_range=spread,
        gaussian_weights=True,
        sigma=SIGMA,
        use_sample_covariance=False,
        full=True,
    )
    return float(similarity[np.pad(scan.scored, MARGIN)].mean())
