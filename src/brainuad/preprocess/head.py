"""A first look at a scan: is it stripped, where is the head, and what a registration should see of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage

from brainuad.errors import InputError
from brainuad.formats.volume import Volume
from brainuad.images.resample import resample

LARGEST_BRAIN = 2.3e6
"""mm3; no brain is larger, no head with scalp and face is smaller."""
VERTEX_AREA = 1500.0
"""mm2; smaller cross-sections above the head are noise, a cap or a headphone."""
DEPTH = 82.0
"""mm from the vertex down to the middle of a usual brain."""
HEAD_HEIGHT = 130.0
"""mm below the vertex; what lies lower is neck, which would drag the centre backwards and down."""
CT_WINDOW = (0.0, 80.0)
"""Hounsfield units in which brain tissue differs from air, fluid and bone."""


@dataclass(frozen=True)
class RegistrationInput:
    """What a registration sees of a scan: values in [0, 1] on an isotropic grid along the world's axes.

    `start`: world point (mm) where `anchor`, a point of the template's world, is expected. `depth`: mm from the vertex,
    if it was found from there: in smaller heads it is less.
    """

    volume: Volume
    start: Float[np.ndarray, "3"]
    anchor: Float[np.ndarray, "3"]
    depth: float = 0.0


def is_stripped(scan: Volume) -> bool:
    """Whether a scan holds a brain alone: one exact value fills the background and the rest is no larger than a brain.

    Measured on 97 real scans: the rest is 1.1 to 1.5 litres in the 25 stripped ones and 2.9 to 7.7 in the others.
    """
    foreground = foreground_of(scan)
    volume = float(foreground.sum()) * voxel_volume(scan)
    return bool(foreground.mean() < 0.6 and 0.3e6 < volume < LARGEST_BRAIN)


def foreground_of(scan: Volume) -> Bool[np.ndarray, "x y z"]:
    """Voxels that differ from the most frequent value of the scan's six faces."""
    data = scan.data
    faces = [np.take(data, edge, axis).ravel() for axis in range(3) for edge in (0, -1)]
    values, counts = np.unique(np.concatenate(faces), return_counts=True)
    return np.asarray(data != values[counts.argmax()])


def voxel_volume(scan: Volume) -> float:
    """Volume of one voxel in mm3."""
    return float(abs(np.linalg.det(scan.affine[:3, :3])))


def windowed(scan: Volume, modality: str, window: tuple[float, float] | None = None) -> Volume:
    """CT clipped to `window` (Hounsfield units, by default 0 to 80); other modalities are returned as they are."""
    if modality.lower() != "ct":
        return scan
    return Volume(np.clip(scan.data, *(window or CT_WINDOW)), scan.affine)


def moving(scan: Volume, modality: str, stripped: bool, spacing: float = 2.0) -> RegistrationInput:
    """The scan on a grid of `spacing` mm, clipped to its 1st and 99th percentile (of the brain, if stripped).

    Raises InputError when no head is found.
    """
    scan = windowed(scan, modality)
    low, high = np.percentile(scan.data[foreground_of(scan)] if stripped else scan.data[::2, ::2, ::2], (1, 99))
    if high <= low:
        raise InputError("no head is found in the scan", why="almost every voxel has one value", do="look at the scan")
    data = np.clip((scan.data - low) / (high - low), 0, 1)
    if stripped:
        data[~foreground_of(scan)] = 0
    volume = _upright(Volume(data, scan.affine), spacing)
    centre = _centre_of_brain if stripped else _centre_under_vertex
    start, anchor = centre(volume)
    return RegistrationInput(volume, start, anchor, 0.0 if stripped else DEPTH)


def _upright(scan: Volume, spacing: float) -> Volume:
    """The scan on an isotropic grid whose axes are those of the world and which holds all of it."""
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in scan.data.shape])).reshape(3, -1)
    world = scan.affine[:3, :3] @ corners + scan.affine[:3, 3:]
    low, high = world.min(axis=1), world.max(axis=1)
    shape = np.ceil((high - low) / spacing).astype(int) + 1
    affine = np.diag([spacing, spacing, spacing, 1.0])
    affine[:3, 3] = low
    return Volume(resample(scan.data, scan.affine, (int(shape[0]), int(shape[1]), int(shape[2])), affine), affine)


def _centre_of_brain(volume: Volume) -> tuple[Float[np.ndarray, "3"], Float[np.ndarray, "3"]]:
    """Stripped: the middle of the brain's extent, and that of the template's brain."""
    inside = largest(volume.data > 0.02)
    ends = [np.flatnonzero(inside.any(axis=axes))[[0, -1]] for axes in ((1, 2), (0, 2), (0, 1))]
    centre = np.array([end.mean() for end in ends])
    return volume.affine[:3, :3] @ centre + volume.affine[:3, 3], np.array([0.0, -17.0, 5.0])


def _centre_under_vertex(volume: Volume) -> tuple[Float[np.ndarray, "3"], Float[np.ndarray, "3"]]:
    """With skull: 82 mm under the vertex, in the middle of the head above the neck."""
    spacing = float(volume.spacing[0])
    step = max(1, round(4 / spacing))
    coarse = ndimage.gaussian_filter(volume.data, step / 2)[::step, ::step, ::step]
    head = largest(ndimage.binary_opening(coarse > otsu(coarse) / 2))
    mm = spacing * step
    levels = np.flatnonzero(head.sum(axis=(0, 1)) * mm**2 > VERTEX_AREA)
    if levels.size == 0:
        raise InputError(
            "no head is found in the scan", why="nothing in it is as large as a head", do="look at the scan"
        )
    top = int(levels[-1])
    x, y, _ = np.nonzero(head[:, :, max(0, top - int(HEAD_HEIGHT / mm)) :])
    low = volume.affine[:3, 3]
    start = np.array([low[0] + mm * x.mean(), low[1] + mm * y.mean(), low[2] + mm * top - DEPTH])
    return start, np.array([0.0, -18.0, 12.0])


def largest(mask: Bool[np.ndarray, "x y z"]) -> Bool[np.ndarray, "x y z"]:
    """The largest of a mask's connected parts."""
    labels, count = ndimage.label(mask)
    if count < 2:
        return mask
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return np.asarray(labels == sizes.argmax())


def otsu(values: Float[np.ndarray, "..."]) -> float:
    """The threshold that splits `values` with the largest variance between the two classes (Otsu 1979)."""
    counts, edges = np.histogram(values, bins=256)
    centres = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)[:-1].astype(float)
    above = counts.sum() - below
    total = np.cumsum(counts * centres)
    with np.errstate(divide="ignore", invalid="ignore"):
        between = below * above * (total[:-1] / below - (total[-1] - total[:-1]) / above) ** 2
    return float(edges[1:-1][np.nanargmax(between)])
