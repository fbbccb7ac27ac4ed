"""The viewer of one scan: an HTML page that needs nothing else, no network and no server."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float
from nibabel.affines import apply_affine
from scipy import ndimage

from brainuad.formats.volume import Volume
from brainuad.images import components
from brainuad.images.resample import resample, resample_mask
from brainuad.predict.findings import Finding, Places
from brainuad.predict.record import Record
from brainuad.report import page, slices

if TYPE_CHECKING:
    from brainuad.predict.found import Found

TEMPLATES = Path(__file__).parent / "templates"
MOST_VOXELS = 4_500_000
"""Of the page's grid: as a picture they are under 8 MB."""
LARGEST = 7_500_000
"""Characters of the page's pictures; sequences with much noise are drawn coarser until they fit."""
SHARES = (1.0, 0.5, 0.25)
"""Of `MOST_VOXELS`, one after the other."""
MOST_FINDINGS = 100
"""In the list; without a smallest size a mask may have thousands."""
MARGIN_MM = 6.0
"""Shown around the brain: enough to see a mask that is too small, too little for a face."""
WHITE_QUANTILE = 99.7
"""Of the brain's intensities, which is drawn white."""
Matrix = Float[np.ndarray, "4 4"]


@dataclass(frozen=True)
class Grid:
    """Voxels of the page: the axes of the scan, around the brain. `affine`: voxel index to the scan's mm."""

    shape: tuple[int, int, int]
    affine: Matrix


def write(found: Found, record: Record, findings: Sequence[Finding], places: Places) -> str:
    """The page, as text. `findings`: of the mask of the record's threshold."""
    listed = findings[:MOST_FINDINGS]
    for share in SHARES:
        view = _view(found, record, listed, places, share)
        if sum(len(text) for text in (view["image"], view["map"], *view.get("further", []))) < LARGEST:
            break
    content = {"record": record, "findings": listed, "view": view}
    content["threshold"] = found.thresholds.get(record.threshold)
    own = page.parts("page.css", "page.js", folder=TEMPLATES)
    return page.filled(TEMPLATES, content, page.parts("style.css", "planes.js") | own)


def view_grid(scan: Volume, brain: Bool[np.ndarray, "x y z"], share: float = 1.0) -> Grid:
    """A grid with the axes of the scan around the brain (on the scan's voxels), as fine as `MOST_VOXELS` allows.

    `share`: of these voxels.
    """
    margin = int(np.ceil(MARGIN_MM / scan.spacing.min()))
    box = components.box(brain, margin)
    first = np.array([each.start or 0 for each in box])
    count = np.minimum([each.stop or n for each, n in zip(box, brain.shape, strict=True)], brain.shape) - first
    spacing = scan.spacing
    size = count * spacing
    step = spacing
    while np.ceil(size / step).prod() > share * MOST_VOXELS:  # the finest axes first: slices may be thick
        step = np.maximum(step, 1.05 * step.min())
    x, y, z = (int(n) for n in np.ceil(size / step - 1e-6))
    affine = scan.affine @ np.diag([*(step / spacing), 1.0])
    affine[:3, 3] = apply_affine(scan.affine, first + (step / spacing - 1) / 2)
    return Grid((x, y, z), affine)


def _view(found: Found, record: Record, findings: Sequence[Finding], places: Places, share: float) -> dict[str, Any]:
    """What the page's script draws. Bytes of pictures hold a voxel each, axial slices side by side."""
    prepared = found.prepared
    back = prepared.transform.inverse().matrix
    scan_brain = resample_mask(prepared.brain, prepared.affine, _shape(found.scan.data), found.scan.affine, back)
    grid = view_grid(found.scan, scan_brain, share)
    at = (grid.shape, grid.affine, back)
    rounds = max(1, round(MARGIN_MM / float(np.linalg.norm(prepared.affine[:3, 0]))))
    shown = resample_mask(ndimage.binary_dilation(prepared.brain, iterations=rounds), prepared.affine, *at)
    brain = resample_mask(prepared.brain, prepared.affine, *at)
    image = resample(found.scan.data, found.scan.affine, grid.shape, grid.affine)
    threshold = found.thresholds.get(record.threshold)
    steps, lowest, highest = slices.in_steps(resample(found.processed, found.affine, *at), brain, threshold)
    mask = found.masks.get(record.threshold, np.zeros(found.brain.shape, dtype=bool))
    columns = math.ceil(math.sqrt(grid.shape[2]))
    to_index = np.linalg.inv(grid.affine)
    indices = [apply_affine(to_index, finding.peak_scan_mm) for finding in findings]
    start = indices[0] if indices else ndimage.center_of_mass(brain) if brain.any() else np.array(grid.shape) / 2
    to_mni = places.mni @ np.linalg.inv(places.scan) @ grid.affine
    further = {
        name: resample(each.scan.data, each.scan.affine, grid.shape, grid.affine, each.transform.matrix @ back)
        for name, each in prepared.further.items()
    }
    drawn = [
        slices.webp(_mosaic(_grey(each, brain, shown), columns), quality=80) for each in (image, *further.values())
    ]
    return {
        "shape": grid.shape,
        "voxel": [round(float(n), 4) for n in Volume(image, grid.affine).spacing],
        "columns": columns,
        "image": drawn[0],
        "map": slices.png(_mosaic(steps, columns)),
        "mask": slices.png(_mosaic(255 * resample_mask(mask, found.affine, *at), columns)),
        "low": lowest,
        "high": highest,
        "threshold": threshold,
        "toScan": grid.affine.round(5).tolist(),
        "toMni": to_mni.round(5).tolist(),
        "start": _index(start, grid),
        "findings": [_index(each, grid) for each in indices],
        **({"names": list(found.files), "further": drawn[1:]} if further else {}),
    }


def _grey(image: np.ndarray, brain: np.ndarray, shown: np.ndarray) -> np.ndarray:
    """Intensities as bytes, by those of the brain; 0 outside of what is `shown`."""
    low, white = np.percentile(image[brain], (0.5, WHITE_QUANTILE)) if brain.any() else (0.0, 1.0)
    return np.where(shown, np.clip((image - min(low, 0)) / max(white - min(low, 0), 1e-6), 0, 1) * 255, 0)


def _mosaic(data: np.ndarray, columns: int) -> np.ndarray:
    return slices.mosaic(data.astype(np.uint8), (slice(None), slice(None)), columns)


def _index(place: Sequence[float] | np.ndarray, grid: Grid) -> list[int]:
    return [int(i) for i in np.clip(np.rint(place), 0, np.array(grid.shape) - 1)]


def _shape(data: np.ndarray) -> tuple[int, int, int]:
    x, y, z = data.shape
    return x, y, z
