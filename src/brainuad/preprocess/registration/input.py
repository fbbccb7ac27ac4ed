"""Preparation of a scan for registration: intensities, grid, and where the search starts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage

from brainuad.errors import InputError
from brainuad.formats.header import MOST_VOXELS
from brainuad.formats.volume import Volume
from brainuad.images.resample import resample
from brainuad.images.template import Template
from brainuad.preprocess.brain_mask.foreground import foreground, largest_component
from brainuad.preprocess.modality import clip_to_tissue
from brainuad.preprocess.threshold import head_threshold

Point = Float[np.ndarray, "3"]
SPACING_MM = 2.0
HEAD = 0.05
"""Values of a `RegistrationInput` above it are head."""
VERTEX_AREA_MM2 = 1500.0
"""Smaller cross-sections above the head are noise, a cap or a headphone."""
VERTEX_DEPTH_MM = 82.0
"""From the vertex down to the middle of an average brain."""
HEAD_HEIGHT_MM = 130.0
"""What lies lower under the vertex is neck, which would shift the centre backwards and down."""
BRAIN_CENTRE_MNI = np.array([0.0, -17.0, 5.0])
"""Middle of the extent of the template's brain, mm."""
VERTEX_POINT_MNI = np.array([0.0, -18.0, 12.0])
"""Point of the template's brain that lies `VERTEX_DEPTH_MM` under an average vertex, mm."""


@dataclass(frozen=True)
class RegistrationInput:
    """A scan as registration takes it: values in [0, 1] on an isotropic grid along the world's axes.

    `template_point` (template world, mm) is expected at `scan_point` (scan world, mm): there the search starts.
    `depth_mm`: distance from the vertex where the point was found from there, else 0; it is less in smaller heads.
    """

    volume: Volume
    scan_point: Point
    template_point: Point
    depth_mm: float = 0.0


def registration_input(scan: Volume, modality: str, stripped: bool, template: Template) -> RegistrationInput:
    """The scan on a grid of 2 mm, clipped to its 1st and 99th percentile (of the brain, if stripped); CT to 0 to 80 HU.

    Raises InputError when no head is found.
    """
    scan = Volume(clip_to_tissue(scan.data, modality), scan.affine)
    low, high = np.percentile(scan.data[foreground(scan)] if stripped else scan.data[::2, ::2, ::2], (1, 99))
    if high <= low:
        raise InputError("no head is found in the scan", why="almost every voxel has one value", do="look at the scan")
    data = np.clip((scan.data - low) / (high - low), 0, 1)
    if stripped:
        data[~foreground(scan)] = 0
    volume = _on_world_axes(Volume(data, scan.affine), SPACING_MM)
    if stripped:
        return RegistrationInput(volume, _brain_centre(volume), template.at(BRAIN_CENTRE_MNI))
    return RegistrationInput(volume, _point_under_vertex(volume), template.at(VERTEX_POINT_MNI), VERTEX_DEPTH_MM)


def _on_world_axes(scan: Volume, spacing: float) -> Volume:
    """The scan on an isotropic grid whose axes are those of the world and which holds all of it."""
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in scan.data.shape])).reshape(3, -1)
    world = scan.affine[:3, :3] @ corners + scan.affine[:3, 3:]
    low, high = world.min(axis=1), world.max(axis=1)
    shape = np.ceil((high - low) / spacing).astype(int) + 1
    if not np.isfinite(shape).all() or shape.prod(dtype=float) > MOST_VOXELS:
        why = "it extends over " + " x ".join(f"{mm:.0f}" for mm in high - low) + " mm"
        raise InputError("the scan is too large for a head", why=why, do="correct its affine")
    affine = np.diag([spacing, spacing, spacing, 1.0])
    affine[:3, 3] = low
    return Volume(resample(scan.data, scan.affine, (int(shape[0]), int(shape[1]), int(shape[2])), affine), affine)


def _brain_centre(volume: Volume) -> Point:
    """The middle of a stripped brain's extent."""
    inside = largest_component(volume.data > 0.02)
    ends = [np.flatnonzero(inside.any(axis=axes))[[0, -1]] for axes in ((1, 2), (0, 2), (0, 1))]
    centre = np.array([end.mean() for end in ends])
    return volume.affine[:3, :3] @ centre + volume.affine[:3, 3]


def _point_under_vertex(volume: Volume) -> Point:
    """The point 82 mm under the vertex, in the middle of the head above the neck."""
    spacing = float(volume.spacing[0])
    step = max(1, round(4 / spacing))
    coarse = ndimage.gaussian_filter(volume.data, step / 2)[::step, ::step, ::step]
    head: Bool[np.ndarray, "x y z"] = largest_component(ndimage.binary_opening(coarse > head_threshold(coarse)))
    mm = spacing * step
    slices = np.flatnonzero(head.sum(axis=(0, 1)) * mm**2 > VERTEX_AREA_MM2)
    if slices.size == 0:
        raise InputError(
            "no head is found in the scan", why="nothing in it is as large as a head", do="look at the scan"
        )
    top = int(slices[-1])
    x, y, _ = np.nonzero(head[:, :, max(0, top - int(HEAD_HEIGHT_MM / mm)) :])
    low = volume.affine[:3, 3]
    return np.array([low[0] + mm * x.mean(), low[1] + mm * y.mean(), low[2] + mm * top - VERTEX_DEPTH_MM])
