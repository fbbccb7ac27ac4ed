"""The findings of a scan: components of its predicted mask, with size, place and region."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from nibabel.affines import apply_affine
from scipy import ndimage

from brainuad.images import components
from brainuad.predict import regions

Matrix = Float[np.ndarray, "4 4"]
Point = tuple[float, float, float]


@dataclass(frozen=True)
class Finding:
    """One component of a predicted mask."""

    rank: int
    """1 for the highest peak."""
    ml: float
    """Volume in the scan's own space."""
    peak: float
    """Highest value of the map, after map operators, in units of the map."""
    centre_mni_mm: Point
    peak_mni_mm: Point
    peak_scan_mm: Point
    """The place of the peak in the world of the scan's file."""
    region: str
    """By lobe masks, which are coarse."""
    region_share: float
    """Share of the finding that lies in the region."""

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Places:
    """Affines of a map's grid: voxel index to the world of its template, of MNI and of the scan, in mm."""

    template: Matrix
    mni: Matrix
    scan: Matrix

    @property
    def voxel_ml(self) -> float:
        """Volume of a voxel in the scan's own space."""
        return abs(float(np.linalg.det(self.scan[:3, :3]))) / 1000


def findings(anomaly: Float[np.ndarray, "x y z"], mask: Bool[np.ndarray, "x y z"], places: Places) -> list[Finding]:
    """The components of `mask`, highest peak first. `anomaly`: the map after map operators."""
    labels, _ = components.label(mask)
    made = []
    for number, box in enumerate(ndimage.find_objects(labels), 1):
        first = [each.start for each in box]
        made.append(_measured(anomaly, np.argwhere(labels[box] == number) + first, places))
    made.sort(key=lambda each: (-each.peak, -each.ml))
    return [replace(each, rank=rank) for rank, each in enumerate(made, 1)]


def _measured(anomaly: Float[np.ndarray, "x y z"], voxels: Int[np.ndarray, "n 3"], places: Places) -> Finding:
    """Of the component of these voxels; its rank is given later."""
    values = anomaly[tuple(voxels.T)]
    peak = voxels[int(values.argmax())]
    in_mni = apply_affine(places.mni, voxels)
    region, share = regions.named(in_mni)
    return Finding(
        rank=0,
        ml=len(voxels) * places.voxel_ml,
        peak=float(values.max()),
        centre_mni_mm=_point(in_mni.mean(axis=0)),
        peak_mni_mm=_point(apply_affine(places.mni, peak)),
        peak_scan_mm=_point(apply_affine(places.scan, peak)),
        region=region,
        region_share=share,
    )


def _point(place: np.ndarray) -> Point:
    x, y, z = (round(float(value), 2) for value in place)
    return x, y, z
