"""Pictures of axial slices as data addresses: scan, map, contours. Nothing outside the brain is drawn."""

from __future__ import annotations

import base64
import io

import numpy as np
from jaxtyping import Bool, Float, Shaped, UInt8
from PIL import Image
from scipy import ndimage

Picture = UInt8[np.ndarray, "rows columns 3"]
Mask = Bool[np.ndarray, "x y z"]
TRUTH, MARKED = (0, 200, 255), (255, 150, 0)
ZOOM = 3
PAPER = 255
"""Grey outside the brain: the page's own, so that slices print without black squares."""


def axial(
    volume: Shaped[np.ndarray, "x y z"], level: int, box: tuple[slice, slice]
) -> Shaped[np.ndarray, "rows columns"]:
    """A slice as it is drawn: front up, left side of the brain on the left."""
    return np.asarray(volume[..., level])[box].T[::-1]


def bounds(brain: Mask, margin: int = 2) -> tuple[slice, slice]:
    """The box in x and y around the brain, over all slices."""
    ranges = []
    for axis in (0, 1):
        inside = np.flatnonzero(brain.any(axis=tuple({0, 1, 2} - {axis})))
        first, last = (inside[0], inside[-1]) if inside.size else (0, brain.shape[axis] - 1)
        ranges.append(slice(max(0, int(first) - margin), int(last) + margin + 1))
    return ranges[0], ranges[1]


def fullest(mask: Mask) -> int:
    """The axial level with the most voxels of `mask`; the middle if it is empty."""
    counts = mask.sum(axis=(0, 1))
    return int(counts.argmax()) if counts.any() else mask.shape[2] // 2


def grey(values: Float[np.ndarray, "rows columns"], brain: Bool[np.ndarray, "rows columns"], top: float) -> Picture:
    """Intensities from 0 (black) to `top` (white), three pixels a voxel, smoothed between voxels."""
    scaled = np.clip(_large(values) / max(top, 1e-6), 0, 1)
    return _on_paper(np.repeat((255 * scaled)[..., None], 3, axis=2), brain)


def heat(values: Float[np.ndarray, "rows columns"], brain: Bool[np.ndarray, "rows columns"], top: float) -> Picture:
    """A map from 0 (black) over red to `top` (pale yellow); negative values are black."""
    from matplotlib import colormaps

    scaled = np.clip(_large(values) / max(top, 1e-12), 0, 1)
    return _on_paper(255 * np.asarray(colormaps["inferno"](scaled))[..., :3], brain)


def outlined(picture: Picture, mask: Bool[np.ndarray, "rows columns"], colour: tuple[int, int, int]) -> Picture:
    """The picture with the mask's contour."""
    whole = np.kron(mask, np.ones((ZOOM, ZOOM), dtype=bool))
    drawn = picture.copy()
    drawn[whole & ~ndimage.binary_erosion(whole, iterations=2)] = colour
    return drawn


def webp(picture: UInt8[np.ndarray, "rows columns ..."], quality: int = 82) -> str:
    """The picture as a WebP data address."""
    return _address(Image.fromarray(picture), "webp", quality=quality, method=5)


def png(picture: UInt8[np.ndarray, "rows columns"]) -> str:
    """The picture as a PNG data address: every value comes back exactly."""
    return _address(Image.fromarray(picture), "png", optimize=True)


def recoded(path: str, width: int) -> str:
    """A picture file as a WebP data address, at most `width` pixels wide."""
    with Image.open(path) as image:
        small = image.convert("RGB")
    small.thumbnail((width, width))
    return _address(small, "webp", quality=80, method=5)


def _large(values: Float[np.ndarray, "rows columns"]) -> Float[np.ndarray, "r c"]:
    return ndimage.zoom(np.asarray(values, dtype=np.float32), ZOOM, order=1, grid_mode=True, mode="nearest")


def _on_paper(picture: np.ndarray, brain: Bool[np.ndarray, "rows columns"]) -> Picture:
    whole = np.kron(brain, np.ones((ZOOM, ZOOM), dtype=bool))
    return np.where(whole[..., None], picture, PAPER).astype(np.uint8)


def _address(image: Image.Image, kind: str, **options: int | bool) -> str:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"
