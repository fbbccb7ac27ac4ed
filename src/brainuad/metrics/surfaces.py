"""Distances between the surfaces of two masks. A voxel of the surface has one of its 6 neighbours outside the mask."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float
from scipy.spatial import cKDTree

from brainuad.images import components
from brainuad.metrics.voxelwise import without_rim

Mask = Bool[np.ndarray, "x y z"]
Points = Float[np.ndarray, "n 3"]


MOST = 20_000
"""Points of a surface from which distances are measured for a percentile: beyond, every second one or fewer."""


@dataclass(frozen=True)
class Surface:
    """Centres of the surface voxels of a mask, in mm, in the order of the grid; at least one."""

    points: Points

    @classmethod
    def of(cls, mask: Mask, spacing: tuple[float, float, float]) -> Surface:
        """Of a mask with at least one voxel; what lies beyond the grid is outside it."""
        box = components.box(mask)
        part, corner = mask[box], [each.start for each in box]
        inner = without_rim(np.pad(part, 1))[1:-1, 1:-1, 1:-1]
        return cls((np.argwhere(part & ~inner) + corner) * np.array(spacing))

    @cached_property
    def tree(self) -> cKDTree:
        """For the nearest of the points."""
        return cKDTree(self.points, balanced_tree=False, compact_nodes=False)

    def near(self, other: Surface, distance_mm: float) -> int:
        """How many of the points lie within a distance of the other surface."""
        reach = distance_mm + 1e-6
        low, high = other.points.min(axis=0) - reach, other.points.max(axis=0) + reach
        around = self.points[((self.points >= low) & (self.points <= high)).all(axis=1)]
        return int(np.isfinite(other.tree.query(around, distance_upper_bound=reach)[0]).sum())

    def distance(self, other: Surface, percentile: float) -> float:
        """The percentile of the distances from the points to the other surface, in mm."""
        points = self.points[:: -(-len(self.points) // MOST)]
        return float(np.percentile(other.tree.query(points)[0], percentile))
