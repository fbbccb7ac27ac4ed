"""A head around the MNI152 brain: tissue maps, skull, simplified face and neck, in template coordinates (mm).

The template has no skull, so all outside the brain is made of simple solids.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Bool, Float, UInt8
from scipy import ndimage

from brainuad.images.template import mni152

LABELS = ("outside", "air", "muscle", "fat", "bone", "marrow", "vitreous", "cord", "csf")
"""Names of the values of `Head.outer`."""

_LOW, _HIGH = np.array([-104.0, -142.0, -150.0]), np.array([104.0, 122.0, 112.0])  # box of the head, mm
_CLOSING, _GAP = 24.0, 5.0  # mm; closes the fissures under the skull, but not the base of the skull between the lobes


@dataclass(frozen=True)
class Head:
    """Maps on one grid, which `affine` places.

    `hull`: signed distance in mm from the smoothed brain surface, positive outside. `outer`: index into LABELS of the
    tissue outside the skull. `tissue`: white matter, grey matter and brain, each in [0, 1]. `ventricle`: distance in mm
    from the ventricles.
    """

    hull: Float[np.ndarray, "x y z"]
    outer: UInt8[np.ndarray, "x y z"]
    ventricle: Float[np.ndarray, "x y z"]
    affine: Float[np.ndarray, "4 4"]
    tissue: Float[np.ndarray, "3 a b c"]
    tissue_affine: Float[np.ndarray, "4 4"]


@cache
def head(spacing: float = 2.0) -> Head:
    """The head with tissue maps at `spacing` mm; the smooth maps are at 2 mm or coarser."""
    fine, coarse = mni152(spacing), mni152(max(spacing, 2.0))
    step = float(coarse.affine[0, 0])
    start = coarse.affine[:3, 3]
    before = np.ceil((start - _LOW) / step).astype(int).clip(0)
    after = np.ceil((_HIGH - start) / step).astype(int) - np.array(coarse.brain.shape) + 1
    pad = [(int(b), int(max(a, 0))) for b, a in zip(before, after, strict=True)]
    affine = coarse.affine.copy()
    affine[:3, 3] -= before * step
    brain = np.pad(coarse.brain, pad)
    near = ndimage.distance_transform_edt(~brain, sampling=step) <= _GAP
    hull = _signed_distance(_close(brain, step) & near, step)
    fluid = np.pad(coarse.brain & (coarse.grey + coarse.white < 0.5), pad)
    where = [start_ + step * np.arange(n) for start_, n in zip(affine[:3, 3], brain.shape, strict=True)]
    ventricle = ndimage.distance_transform_edt(~_ventricles(fluid, hull, where), sampling=step)
    tissue = np.stack([fine.white, fine.grey, fine.brain]).astype(np.float32)
    return Head(hull, _outer_labels(*where), np.asarray(ventricle, np.float32), affine, tissue, np.asarray(fine.affine))


def _close(brain: Bool[np.ndarray, "x y z"], step: float) -> Bool[np.ndarray, "x y z"]:
    """Closing by a ball of 24 mm, as two distance transforms on a grid wide enough for the dilated mask."""
    margin = int(np.ceil(_CLOSING / step)) + 1
    padded = np.pad(brain, margin)
    grown = ndimage.distance_transform_edt(~padded, sampling=step) <= _CLOSING
    closed = ndimage.distance_transform_edt(grown, sampling=step) > _CLOSING
    inner = (slice(margin, -margin),) * 3
    return np.asarray(closed[inner] | brain)


def _signed_distance(mask: Bool[np.ndarray, "x y z"], step: float) -> Float[np.ndarray, "x y z"]:
    outside = ndimage.distance_transform_edt(~mask, sampling=step)
    inside = ndimage.distance_transform_edt(mask, sampling=step)
    return np.asarray(outside - inside, dtype=np.float32)


def _ventricles(
    fluid: Bool[np.ndarray, "x y z"], hull: Float[np.ndarray, "x y z"], where: list[Float[np.ndarray, " n"]]
) -> Bool[np.ndarray, "x y z"]:
    """Fluid deep in the brain and within the box of the lateral and third ventricles."""
    x, y, z = np.ix_(*where)
    box = (np.abs(x) < 40) & (y > -60) & (y < 35) & (z > -2) & (z < 32)
    cistern = (np.abs(x) < 12) & (y < -35)  # behind the midbrain
    return np.asarray(fluid & box & ~cistern & (hull < -15))


def _outer_labels(
    x: Float[np.ndarray, " nx"], y: Float[np.ndarray, " ny"], z: Float[np.ndarray, " nz"]
) -> UInt8[np.ndarray, "nx ny nz"]:
    """Face and neck as solids; later ones replace earlier ones."""
    x, y, z = (part.astype(np.float32) for part in np.ix_(x, y, z))
    face = _ellipsoid(x, y, z, (0, 38, -72), (63, 66, 74))
    neck = np.maximum(60 * (np.hypot(x / 60, (y + 38) / 56) - 1), z + 45)
    nose = _ellipsoid(x, y, z, (0, 98, -58), (13, 20, 20))
    body = np.minimum(np.minimum(face, neck), nose)
    labels = np.zeros(body.shape, np.uint8)

    def paint(where: Bool[np.ndarray, "nx ny nz"], label: str) -> None:
        labels[np.broadcast_to(where, labels.shape)] = LABELS.index(label)

    paint(body < 0, "fat")
    paint(body < -5, "muscle")
    jaw = np.hypot(x / 48, (y - 22) / 56)
    paint((np.abs(jaw - 0.94) < 0.09) & (y > 8) & (z > -132) & (z < -98), "bone")
    paint((np.abs(jaw - 0.94) < 0.04) & (y > 8) & (z > -128) & (z < -106), "marrow")
    spine = np.hypot(x, y + 22)
    canal = np.hypot(x / 1.2, y + 46)
    paint((spine < 15) & (z < -78), "bone")
    paint((spine < 12.5) & (z < -78), "marrow")
    paint((canal < 13) & (z < -72), "bone")
    paint((canal < 9) & (z < -66), "csf")
    paint((canal < 5.5) & (z < -62), "cord")
    paint((np.hypot(x / 1.4, y - 8) < 8) & (z < -60), "air")
    paint(_ellipsoid(x, y, z, (0, 54, -58), (12, 34, 17)) < 0, "muscle")
    paint((_ellipsoid(x, y, z, (0, 54, -58), (12, 34, 17)) < 0) & (np.abs(np.abs(x) - 5) < 2.5), "air")
    for side in (-1, 1):
        paint(_ellipsoid(x, y, z, (side * 27, 55, -64), (13, 17, 15)) < 0, "bone")
        paint(_ellipsoid(x, y, z, (side * 27, 55, -64), (11, 15, 13)) < 0, "air")
        paint(_ellipsoid(x, y, z, (side * 32, 58, -36), (19, 21, 18)) < 0, "fat")
        paint(_ellipsoid(x, y, z, (side * 32, 66, -36), (12, 12, 12)) < 0, "vitreous")
        paint(_ellipsoid(x, y, z, (side * 62, -22, -50), (12, 16, 14)) < 0, "bone")
    return labels


def _ellipsoid(
    x: Float[np.ndarray, "nx 1 1"],
    y: Float[np.ndarray, "1 ny 1"],
    z: Float[np.ndarray, "1 1 nz"],
    centre: tuple[float, float, float],
    radii: tuple[float, float, float],
) -> Float[np.ndarray, "nx ny nz"]:
    """About the distance in mm from the surface, negative inside."""
    across = ((x - centre[0]) / radii[0]) ** 2 + ((y - centre[1]) / radii[1]) ** 2 + ((z - centre[2]) / radii[2]) ** 2
    return np.asarray(min(radii) * (np.sqrt(across) - 1), dtype=np.float32)
