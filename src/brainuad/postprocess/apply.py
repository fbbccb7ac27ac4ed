"""A postprocessing: its map operators, then a threshold, then its mask operators."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from brainuad.config import postprocessing as config
from brainuad.formats import maps as files
from brainuad.formats.array_cache import ArrayCache
from brainuad.images import components
from brainuad.postprocess import kernels, operators
from brainuad.postprocess.kernels import Spacing

Map = Float[np.ndarray, "x y z"]
Mask = Bool[np.ndarray, "x y z"]


def processed_maps(
    maps: Path, opened: ArrayCache, role: str, steps: Sequence[config.MapOperator]
) -> Iterator[tuple[int, Map, Mask]]:
    """Row, map after the map operators, and brain of each scan in a role. `maps`: infer's folder."""
    for row, scan in enumerate(opened.scans):
        if scan.role == role:
            uses_image = any(isinstance(step, config.HyperintensityPrior) for step in steps)
            image, brain = opened.image(row) if uses_image else opened.images[row], opened.brain(row)
            anomaly = files.read_map(files.anomaly_path(maps, scan.scan), brain.shape)
            yield row, process_map(anomaly, np.asarray(image), brain, opened.spacing, steps), brain


def process_map(anomaly: Map, image: Map, brain: Mask, spacing: Spacing, steps: Sequence[config.MapOperator]) -> Map:
    """Apply the operators before the threshold. `image`: the normalised scan; `spacing`: voxel size in mm.

    float32, 0 outside the brain.
    """
    for step in steps:
        match step:
            case config.Median3d():
                anomaly = operators.median3d(anomaly, brain, kernels.median_edges(step, spacing))
            case config.Gaussian():
                x, y, z = (step.sigma_mm / edge for edge in spacing)
                anomaly = operators.gaussian(anomaly, brain, (x, y, z))
            case config.ErodeBrainMask():
                anomaly = operators.erode_brain_mask(anomaly, brain, kernels.rim(step, spacing))
            case config.HyperintensityPrior():
                anomaly = operators.hyperintensity_prior(anomaly, brain, image, step.quantile)
    return np.where(brain, anomaly, 0).astype(np.float32)


def predicted_mask(
    anomaly: Map, brain: Mask, spacing: Spacing, threshold: float, steps: Sequence[config.MaskOperator]
) -> Mask:
    """Brain voxels above `threshold`, after the operators behind it. `anomaly`: as from `process_map`."""
    box = components.box(brain, margin=8)
    mask = np.zeros(brain.shape, dtype=bool)
    part = (anomaly[box] > np.float32(threshold)) & brain[box]
    for step in steps:
        part = _applied(step, part, anomaly[box], spacing)
    mask[box] = part & brain[box]
    return mask


def _applied(step: config.MaskOperator, mask: Mask, anomaly: Map, spacing: Spacing) -> Mask:
    match step:
        case config.Closing():
            return operators.closing(mask, kernels.radii(step, spacing), step.shape)
        case config.Opening():
            return operators.opening(mask, kernels.radii(step, spacing), step.shape)
        case config.Dilation():
            return operators.dilation(mask, kernels.radii(step, spacing), step.shape)
        case config.FillHoles():
            return components.fill_holes(mask, step.per_slice)
        case config.AreaOpening():
            return operators.area_opening(mask, kernels.min_pixels(step, spacing))
        case config.RelativeAreaOpening():
            return operators.relative_area_opening(mask, step.min_share)
        case config.RemoveSmallComponents():
            return operators.remove_small_components(mask, kernels.min_voxels(step, spacing))
        case config.TopComponents():
            scores = anomaly if step.rank_by == "map_sum" else None
            return operators.top_components(mask, scores, step.count, step.per_slice)
