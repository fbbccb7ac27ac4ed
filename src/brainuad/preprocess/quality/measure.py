"""Quality numbers of a preprocessed scan; `quality.verdict` compares them with the limits of a recipe."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool

from brainuad.formats.status import Numbers
from brainuad.formats.transform import Affine
from brainuad.formats.volume import Volume
from brainuad.preprocess.modality import clip_to_tissue, is_ct
from brainuad.preprocess.quality import appearance
from brainuad.preprocess.quality.symmetry import residual_tilt_and_offset
from brainuad.preprocess.registered_scan import RegisteredScan

Mask = Bool[np.ndarray, "x y z"]


def measure(registered: RegisteredScan, brain: Mask, brain_in_scan: Mask) -> Numbers:
    """Quality numbers by name, without those of the registration's similarity; `formats.quality` defines each.

    `brain`: the brain mask on the template's grid; `brain_in_scan`: on the scan's. A number that cannot be measured on
    this scan is not in the result.
    """
    return {**_geometry(registered, brain), **_appearance(registered, brain, brain_in_scan)}


def measure_sequence(registered: RegisteredScan, brain: Mask, brain_in_scan: Mask) -> Numbers:
    """Those of a further sequence of a session, which shares brain mask and pose with the scan."""
    return {"coverage": _coverage(registered), **_appearance(registered, brain, brain_in_scan)}


def _coverage(registered: RegisteredScan) -> float:
    expected = registered.template.brain
    return float((registered.field_of_view() & expected).sum() / expected.sum())


def _geometry(registered: RegisteredScan, brain: Mask) -> Numbers:
    expected = registered.template.brain
    voxel_ml = abs(float(np.linalg.det(registered.template.affine[:3, :3]))) / 1000
    scales = np.linalg.svd(registered.transform.matrix[:3, :3])[1]
    tilt, offset = residual_tilt_and_offset(_tissue_image(registered), registered.template)
    return {
        "template_dice": float(2 * (brain & expected).sum() / max(1, brain.sum() + expected.sum())),
        "coverage": _coverage(registered),
        "volume_ml": float(brain.sum() * voxel_ml * abs(np.linalg.det(registered.transform.matrix[:3, :3]))),
        "scale_min": float(scales.min()),
        "scale_max": float(scales.max()),
        "rotation_deg": rotation_deg(registered.transform),
        "shear_deg": shear_deg(registered.scan),
        "tilt_deg": tilt,
        "offset_mm": offset,
    }


def _appearance(registered: RegisteredScan, brain: Mask, brain_in_scan: Mask) -> Numbers:
    scan, modality = registered.scan, registered.modality
    measured = {
        "clipped_fraction": appearance.clipped_fraction(scan, brain_in_scan),
        "noise_ratio": appearance.noise_ratio(scan, brain_in_scan, modality),
        "missing_slice_fraction": appearance.missing_slice_fraction(scan, brain_in_scan),
        # around CT lies the headrest
        "ghosting_ratio": None if is_ct(modality) else appearance.ghosting_ratio(scan, brain_in_scan),
    }
    return {
        **appearance.tissue_contrast(_tissue_image(registered), brain, registered.template),
        "median_intensity": float(np.median(registered.image[brain])),
        "min_intensity": float(scan.data.min()),
        **{name: number for name, number in measured.items() if number is not None},
    }


def _tissue_image(registered: RegisteredScan) -> np.ndarray:
    """The scan on the template's grid; CT without its bone."""
    return clip_to_tissue(registered.image, registered.modality)


def rotation_deg(transform: Affine) -> float:
    """Angle of the rotation in an affine, in degrees."""
    left, _, right = np.linalg.svd(transform.matrix[:3, :3])
    cosine = (np.trace(left @ right) - 1) / 2
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))


def shear_deg(scan: Volume) -> float:
    """The largest difference between 90 degrees and the angle of two axes of a scan."""
    axes = scan.affine[:3, :3] / scan.spacing
    cosines = (axes.T @ axes)[np.triu_indices(3, 1)]
    return float(np.degrees(np.arcsin(np.clip(np.abs(cosines).max(), 0, 1))))
