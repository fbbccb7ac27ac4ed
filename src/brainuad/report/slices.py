"""Pictures of axial slices as data URLs: scan, anomaly map, outlines of masks. Only the brain is drawn."""

from __future__ import annotations

import base64
import io

import numpy as np
from jaxtyping import Bool, Float, Shaped, UInt8
from PIL import Image
from skimage.segmentation import find_boundaries
from skimage.transform import resize
from skimage.util import montage

from brainuad.figures.unrecognisable import unrecognisable

Picture = UInt8[np.ndarray, "rows columns 3"]
Mask = Bool[np.ndarray, "x y z"]
LESION_COLOUR, PREDICTED_COLOUR = (0, 200, 255), (255, 150, 0)
ZOOM = 3
"""Pixels per voxel."""
PAPER = 255
"""Grey outside the brain: white, so that slices print without black squares."""
FLOOR = 0.90
"""Quantile of the map in the brain; lower values are not drawn. No useful threshold lies lower; pictures get small."""


def axial(
    volume: Shaped[np.ndarray, "x y z"], level: int, box: tuple[slice, slice]
) -> Shaped[np.ndarray, "rows columns"]:
    """A slice as it is drawn: front up, left side of the brain on the left."""
    return np.asarray(volume[..., level])[box].T[::-1]


def bounding_box(brain: Mask, margin: int = 2) -> tuple[slice, slice]:
    """The box in x and y around the brain, over all slices."""
    ranges = []
    for axis in (0, 1):
        inside = np.flatnonzero(brain.any(axis=tuple({0, 1, 2} - {axis})))
        first, last = (inside[0], inside[-1]) if inside.size else (0, brain.shape[axis] - 1)
        ranges.append(slice(max(0, int(first) - margin), int(last) + margin + 1))
    return ranges[0], ranges[1]


def largest_slice(mask: Mask) -> int:
    """Index of the axial slice with the most voxels of `mask`; the middle if it is empty."""
    counts = mask.sum(axis=(0, 1))
    return int(counts.argmax()) if counts.any() else mask.shape[2] // 2


def grey(values: Float[np.ndarray, "rows columns"], brain: Bool[np.ndarray, "rows columns"], white: float) -> Picture:
    """Intensities from 0 (black) to `white`, interpolated to `ZOOM` pixels a voxel."""
    scaled = np.clip(_enlarged(values) / max(white, 1e-6), 0, 1)
    return _on_paper(np.repeat((255 * scaled)[..., None], 3, axis=2), brain)


def heat(values: Float[np.ndarray, "rows columns"], brain: Bool[np.ndarray, "rows columns"], top: float) -> Picture:
    """An anomaly map from 0 (black) over red to `top` (pale yellow); negative values are black."""
    from matplotlib import colormaps

    scaled = np.clip(_enlarged(values) / max(top, 1e-12), 0, 1)
    return _on_paper(255 * np.asarray(colormaps["inferno"](scaled))[..., :3], brain)


def outlined(picture: Picture, mask: Bool[np.ndarray, "rows columns"], colour: tuple[int, int, int]) -> Picture:
    """The picture with the outline of a mask of its voxels."""
    drawn = picture.copy()
    drawn[find_boundaries(_repeated(mask), mode="thick")] = colour
    return drawn


def mosaic(
    volume: Shaped[np.ndarray, "x y z"], box: tuple[slice, slice], columns: int
) -> Shaped[np.ndarray, "rows columns"]:
    """Axial slices in reading order, lowest first; the rest of the last row is 0."""
    tiles = np.stack([axial(volume, level, box) for level in range(volume.shape[2])])
    shape = (-(-len(tiles) // columns), columns)
    return np.asarray(montage(tiles, fill=0, grid_shape=shape))


def webp(picture: UInt8[np.ndarray, "rows columns ..."], quality: int = 82) -> str:
    """The picture as a WebP data URL."""
    return _data_url(Image.fromarray(picture), "webp", quality=quality, method=5)


def png(picture: UInt8[np.ndarray, "rows columns"]) -> str:
    """The picture as a PNG data URL, without loss."""
    return _data_url(Image.fromarray(picture), "png", compress_level=6)  # 9: a tenth smaller, five times slower


def recoded(path: str, width: int, blurred: bool = False) -> str:
    """A picture file as a WebP data URL, at most `width` pixels wide; `blurred`: but for its contours."""
    with Image.open(path) as image:
        small = image.convert("RGB")
    small.thumbnail((width, width))
    return _data_url(unrecognisable(small) if blurred else small, "webp", quality=80, method=5)


def _enlarged(values: Float[np.ndarray, "rows columns"]) -> Float[np.ndarray, "r c"]:
    shape = (values.shape[0] * ZOOM, values.shape[1] * ZOOM)
    return np.asarray(resize(values.astype(np.float32), shape, order=1, mode="edge", anti_aliasing=False))


def _repeated(mask: Bool[np.ndarray, "rows columns"]) -> Bool[np.ndarray, "r c"]:
    return mask.repeat(ZOOM, axis=0).repeat(ZOOM, axis=1)


def _on_paper(picture: np.ndarray, brain: Bool[np.ndarray, "rows columns"]) -> Picture:
    return np.where(_repeated(brain)[..., None], picture, PAPER).astype(np.uint8)


def _data_url(image: Image.Image, file_format: str, **options: int | bool) -> str:
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return f"data:image/{file_format};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def in_steps(
    anomaly: Float[np.ndarray, "x y z"], brain: Bool[np.ndarray, "x y z"], threshold: float | None
) -> tuple[UInt8[np.ndarray, "x y z"], float, float]:
    """The map as bytes, and `low` and `high` in its units: 0 below `low`, then 1 to 255 from `low` to `high`."""
    values = anomaly[brain]
    low = float(min(np.quantile(values, FLOOR), np.inf if threshold is None else threshold))
    high = float(max(values.max(), low + 1e-9, low if threshold is None else threshold * 1.05))
    steps = np.clip(np.ceil((anomaly - low) / (high - low) * 255), 0, 255) * brain
    return steps.astype(np.uint8), low, high
