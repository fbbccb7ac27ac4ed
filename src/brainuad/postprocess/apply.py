"""A chain: its map operators, then a cut, then its mask operators."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

from brainuad.config import postprocessing as config
from brainuad.images import components
from brainuad.postprocess import operators

Map = Float[np.ndarray, "x y z"]
Mask = Bool[np.ndarray, "x y z"]


def process_map(
    anomaly: Map, image: Map, brain: Mask, spacing: tuple[float, float, float], steps: list[config.MapOperator]
) -> Map:
    """Apply the operators before the threshold. `image`: the normalised scan; `spacing`: voxel size in mm.

    float32, 0 outside the brain.
    """
    for step in steps:
        match step:
            case config.Median3d():
                anomaly = operators.median3d(anomaly, brain, step.size)
            case config.Gaussian():
                x, y, z = (step.sigma_mm / edge for edge in spacing)
                anomaly = operators.gaussian(anomaly, brain, (x, y, z))
            case config.BrainMaskErode():
                anomaly = operators.brain_mask_erode(anomaly, brain, step.iterations, step.plane)
            case config.HyperintensityPrior():
                anomaly = operators.hyperintensity_prior(anomaly, brain, image, step.quantile)
    return np.where(brain, anomaly, 0).astype(np.float32)


def marked(anomaly: Map, brain: Mask, cut: float, steps: list[config.MaskOperator]) -> Mask:
    """Brain voxels above `cut`, after the operators behind the threshold. `anomaly`: as from `process_map`."""
    box = components.box(brain, margin=8)
    mask = np.zeros(brain.shape, dtype=bool)
    part = (anomaly[box] > np.float32(cut)) & brain[box]
    for step in steps:
        part = _step(part, anomaly[box], step)
    mask[box] = part & brain[box]
    return mask


def _step(mask: Mask, anomaly: Map, step: config.MaskOperator) -> Mask:
    match step:
        case config.Closing():
            return operators.closing(mask, step.radius, step.shape)
        case config.Opening():
            return operators.opening(mask, step.radius, step.shape)
        case config.Dilation():
            return operators.dilation(mask, step.radius, step.shape)
        case config.FillHoles():
            return components.fill_holes(mask, step.plane)
        case config.AreaOpeningAbs():
            return operators.area_opening_abs(mask, step.pixels)
        case config.AreaOpeningRel():
            return operators.area_opening_rel(mask, step.share)
        case config.CcMinSize():
            return operators.cc_min_size(mask, step.voxels)
        case config.TopK():
            return operators.top_k(mask, anomaly, step.k, step.rank, step.plane)
