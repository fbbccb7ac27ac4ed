"""Lengths in mm, areas in mm² and volumes in ml, as whole voxels of a grid.

The nearest number of voxels counts, and of two that are equally near the smaller one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from brainuad.config import postprocessing as config

Spacing = tuple[float, float, float]
"""Voxel size in mm."""

_ROUNDING = 1e-6  # of a voxel: a voxel size read from a file is not exact


def voxels(mm: float, edge: float) -> int:
    """A length in voxels with this edge in mm; may be 0."""
    return max(0, math.ceil(mm / edge - 0.5 - _ROUNDING))


def odd_voxels(mm: float, edge: float) -> int:
    """The edge of a cube in voxels: odd, so that it has a centre; at least 1."""
    return 2 * voxels((mm - edge) / 2, edge) + 1


def count(size: float, of_one: float) -> int:
    """An area or a volume in pixels or voxels, of which one has the size `of_one`; at least 1."""
    return max(1, voxels(size, of_one))


def on_grid(steps: Sequence[config.MapOperator | config.MaskOperator], spacing: Spacing) -> list[dict[str, Any]]:
    """The operators with what they are on a grid, for the record: those that do nothing there say so."""
    return [{"op": step.op, **_on_grid(step, spacing)} for step in steps]


def median_edges(step: config.Median3d, spacing: Spacing) -> tuple[int, int, int]:
    """Edges of the box in voxels."""
    x, y, z = (odd_voxels(step.size_mm, edge) for edge in spacing)
    return x, y, z


def rim(step: config.ErodeBrainMask, spacing: Spacing) -> tuple[int, int, int]:
    """Depth of the rim along each axis, in voxels; 0 across axial slices where these are eroded one by one."""
    x, y, z = (voxels(step.depth_mm, edge) for edge in spacing)
    return x, y, 0 if step.per_slice else z


def radii(step: config.Footprint, spacing: Spacing) -> tuple[int, int]:
    """Of a structuring element in axial slices, in pixels."""
    return voxels(step.radius_mm, spacing[0]), voxels(step.radius_mm, spacing[1])


def min_pixels(step: config.AreaOpening, spacing: Spacing) -> int:
    """Of a component of an axial slice."""
    return count(step.min_mm2, spacing[0] * spacing[1])


def min_voxels(step: config.RemoveSmallComponents, spacing: Spacing) -> int:
    """Of a component of the volume."""
    return count(step.min_ml * 1000, math.prod(spacing))


def _on_grid(step: config.MapOperator | config.MaskOperator, spacing: Spacing) -> dict[str, Any]:
    match step:
        case config.Median3d():
            edges = median_edges(step, spacing)
            return {"voxels": list(edges), "idle": max(edges) == 1}
        case config.ErodeBrainMask():
            depth = rim(step, spacing)
            return {"voxels": list(depth), "idle": max(depth) == 0}
        case config.Closing() | config.Opening() | config.Dilation():
            radius = radii(step, spacing)
            return {"radius_pixels": list(radius), "idle": max(radius) == 0}
        case config.AreaOpening():
            return {"min_pixels": min_pixels(step, spacing), "idle": min_pixels(step, spacing) == 1}
        case config.RemoveSmallComponents():
            return {"min_voxels": min_voxels(step, spacing), "idle": min_voxels(step, spacing) == 1}
    return {}
