"""Lesions inserted into healthy registered scans: the mask is exact, they look like fluid, dark or bright."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage

from brainuad.config.insertion import Insertion
from brainuad.errors import InputError
from brainuad.images.fields import smooth_field

Image = Float[np.ndarray, "x y z"]
Mask = Bool[np.ndarray, "x y z"]
FLUID, BRIGHT = 2.0, 99.5
"""Percentiles of the brain: fluid on T1w, and what bright lesions come to."""


def insert_lesion(
    image: Image,
    brain: Mask,
    mask: Mask,
    rng: np.random.Generator,
    settings: Insertion,
    spacing: float = 2.0,
    bright: bool = False,
) -> tuple[Image, Mask]:
    """Blend the tissue under `mask` towards the darkest, or `bright`, tissue; the scan, and the mask of its lesion.

    `image`: before intensity scaling, any unit, on a grid that is symmetric about its middle plane along x, as the
    template's is; `mask`: on the same grid (see `resample_mask`); `spacing`: mm. The lesion is `mask`, perhaps
    mirrored, inside the brain: where the weight of the edge exceeds one half. Draws from `rng` in a fixed order. Raises
    InputError if less than `settings.min_ml` lies inside the brain.
    """
    if image.shape != mask.shape or brain.shape != mask.shape:
        why = f"image {image.shape}, brain {brain.shape}, lesion {mask.shape}"
        raise InputError("the lesion lies on another grid than the scan", why=why, do="resample it by its affine")
    if rng.random() < settings.mirror:
        mask = mask[::-1]
    truth = mask & brain
    volume = float(truth.sum()) * spacing**3 / 1000
    if volume < settings.min_ml:
        why = f"{volume:.2f} ml of it are inside in the template's space, {settings.min_ml:g} ml are asked for"
        raise InputError("the lesion lies outside the brain", why=why, do="draw another lesion or lower min_ml")
    window = _window(truth, int(np.ceil(settings.edge_mm / spacing)) + 1)
    weight = edge_weight(truth[window], settings.edge_mm / spacing) * brain[window]
    shape = weight.shape
    strength = rng.uniform(*settings.contrast)
    uneven = np.clip(1 + settings.uneven * smooth_field(rng, shape, settings.uneven_mm / spacing), 0, 2)
    grain = settings.texture * smooth_field(rng, shape, 0.7)
    fluid, tissue = fluid_and_tissue(image, brain, BRIGHT if bright else FLUID)
    planted = image.astype(np.float32)
    before = planted[window]
    before += weight * np.clip(strength * uneven, 0, 1) * (fluid - before) + weight * strength * grain * (
        tissue - fluid
    )
    return planted, truth


def fluid_and_tissue(image: Image, brain: Mask, percentile: float = FLUID) -> tuple[float, float]:
    """Intensity of fluid and of tissue on T1w: the 2nd percentile and the median of the brain.

    On IXI scans that percentile is the intensity of the ventricles (0.4 of white matter). `percentile`: another one in
    its place, for what is bright. The outermost voxels are not
    used: a mask that is too wide includes skull there.
    """
    core = image[ndimage.binary_erosion(brain)]
    fluid, tissue = np.percentile(core if core.size else image[brain], [percentile, 50])
    return float(fluid), float(tissue)


def edge_weight(mask: Bool[np.ndarray, "x y z"], width: float) -> Float[np.ndarray, "x y z"]:
    """A ramp of `width` voxels across the border of `mask`, in [0, 1]; it exceeds one half exactly inside the mask."""
    if not mask.any():
        return np.zeros(mask.shape, np.float32)
    return np.asarray(np.clip(0.5 + depth(mask) / width, 0, 1), np.float32)


def depth(mask: Bool[np.ndarray, "x y z"]) -> Float[np.ndarray, "x y z"]:
    """Depth under the surface of `mask` in voxels, below 0 outside; the surface is midway between voxel centres."""
    inside = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1, 1:-1]
    return np.asarray(np.where(mask, inside - 0.5, 0.5 - ndimage.distance_transform_edt(~mask)))


def _window(mask: Mask, margin: int) -> tuple[slice, slice, slice]:
    x, y, z = (
        slice(max(0, part.start - margin), min(n, part.stop + margin))
        for part, n in zip(ndimage.find_objects(mask.astype(np.uint8))[0], mask.shape, strict=True)
    )
    return x, y, z
