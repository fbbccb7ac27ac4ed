"""The grid that a scan is scored on: the template's, or its own with the lesion mask as it was drawn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Shaped

from brainuad.config.evaluate import Evaluate
from brainuad.config.reading import Reading
from brainuad.evaluate.scan import ScanTruth, scan_truth
from brainuad.formats import array_cache as array_caches
from brainuad.formats import mask_files, status, transform
from brainuad.formats.array_cache import ArrayCache
from brainuad.formats.mask_grid import Grid
from brainuad.formats.scans import Scan
from brainuad.images import components
from brainuad.images.native import to_native
from brainuad.metrics import voxelwise

Mask = Bool[np.ndarray, "x y z"]
Matrix = Float[np.ndarray, "4 4"]
Shape = tuple[int, int, int]


@dataclass(frozen=True)
class OwnScans:
    """Where the scans of a data set come from. `preprocessed`: their folders; `reading`: how their files are read."""

    preprocessed: Path
    reading: Reading


@dataclass(frozen=True)
class ScoringGrid:
    """`affine`: voxel index to the template's mm; `spacing`: voxel size in mm of the space that is scored."""

    affine: Matrix
    spacing: tuple[float, float, float]
    _own: _OwnGrid | None = None

    def moved(self, data: Shaped[np.ndarray, "x y z"]) -> Shaped[np.ndarray, "a b c"]:
        """A map or mask of the array cache's grid on this one; a mask (bool) gives a mask."""
        if self._own is None:
            return data
        own = self._own
        return to_native(data, own.template, own.shape, own.affine, own.template_to_scan)


@dataclass(frozen=True)
class _OwnGrid:
    """A box of a scan's voxels, in RAS+ order. `affine`: to the scan's mm; `template`: of the array cache."""

    shape: Shape
    affine: Matrix
    template: Matrix
    template_to_scan: Matrix


@dataclass(frozen=True)
class PlacedScan:
    """A test scan: its row in the array cache, the grid that it is scored on, and its truth there."""

    row: int
    grid: ScoringGrid
    truth: ScanTruth


def placed_scans(opened: ArrayCache, path: Path, settings: Evaluate, own: OwnScans | None) -> Iterator[PlacedScan]:
    """The test scans of the array cache `path`, one by one. `own`: None to score on the template's grid.

    On its own grid a scan has the lesion mask as it was drawn, and the scored brain of the template's grid, resampled.
    Raises InputError for files of a scan that are gone, or are not those that were preprocessed.
    """
    lesions, ignored = array_caches.read_lesions(path), array_caches.read_ignored(path)
    on_template = ScoringGrid(opened.affine, opened.spacing)
    voxel_ml = float(np.prod(opened.spacing)) / 1000
    for row, scan in enumerate(opened.scans):
        if scan.role != "test":
            continue
        if own is None:
            excluded = None if ignored is None else ignored[row]
            truth = scan_truth(scan, opened.brain(row), lesions[row], voxel_ml, settings, excluded)
            yield PlacedScan(row, on_template, truth)
        else:
            yield _own_scan(opened, row, settings, own)


def _own_scan(opened: ArrayCache, row: int, settings: Evaluate, own: OwnScans) -> PlacedScan:
    scan, folder = opened.scans[row], own.preprocessed / opened.scans[row].scan
    image = Path(scan.image)
    status.require_preprocessed(folder, image)
    found = mask_files.read_grid(image)
    to_scan = transform.read(status.path(folder, status.TRANSFORM)).matrix
    brain = voxelwise.scored_brain(opened.brain(row), settings.erode_voxels)
    masks = {name: _as_drawn(scan, name, folder, own.reading, found) for name in status.MASKS}
    lesion = _in_view(masks[status.LESIONS], found.affines[0], opened, to_scan)
    box = _box(brain, lesion, found.affines[0], opened.affine, to_scan)
    corner = found.affines[0].copy()
    corner[:3, 3] = (corner @ [*(part.start for part in box), 1])[:3]
    shape = lesion[box].shape
    grid = ScoringGrid(
        np.linalg.inv(to_scan) @ corner,
        (float(found.spacing[0]), float(found.spacing[1]), float(found.spacing[2])),
        _OwnGrid((shape[0], shape[1], shape[2]), corner, opened.affine, to_scan),
    )
    ignored = masks["ignore"][box] if scan.ignore else None
    eroded = settings.model_copy(update={"erode_voxels": 0})
    voxel_ml = float(np.prod(found.spacing)) / 1000
    own_scan = replace(scan, own_ml="")
    return PlacedScan(row, grid, scan_truth(own_scan, grid.moved(brain), lesion[box], voxel_ml, eroded, ignored))


def _as_drawn(scan: Scan, name: str, folder: Path, reading: Reading, grid: Grid) -> Mask:
    """A mask of a scan on its own voxels; empty if it has none."""
    marked = np.zeros(grid.shape, bool)
    for key, file in scan.files().items():
        if key.partition("-")[0] == name:
            status.require_preprocessed(folder, Path(file))
            marked |= mask_files.read_mask(Path(file), reading, grid).data
    return marked


def _in_view(lesion: Mask, affine: Matrix, opened: ArrayCache, to_scan: Matrix) -> Mask:
    """The voxels of the lesion that the array cache covers: others no model sees, as on the template's grid."""
    voxels = np.argwhere(lesion)
    places = _transformed(voxels, np.linalg.inv(opened.affine) @ np.linalg.inv(to_scan) @ affine)
    shape = np.array(opened.brains.shape[1:])
    seen = ((places > -0.5) & (places < shape - 0.5)).all(axis=1)
    found = np.zeros_like(lesion)
    found[tuple(voxels[seen].T)] = True
    return found


def _box(brain: Mask, lesion: Mask, affine: Matrix, template: Matrix, to_scan: Matrix) -> tuple[slice, slice, slice]:
    """The box of a scan's voxels that holds brain and lesion. `brain`: on the template's grid, of `template`."""
    corners = [(part.start or 0, (part.stop or size) - 1) for part, size in _ends(brain)]
    edges = np.array(np.meshgrid(*corners)).reshape(3, -1).T
    places = _transformed(edges, np.linalg.inv(affine) @ to_scan @ template)
    first, last = np.floor(places.min(axis=0)) - 1, np.ceil(places.max(axis=0)) + 1
    if lesion.any():
        inside = components.box(lesion)
        first = np.minimum(first, [part.start for part in inside])
        last = np.maximum(last, [part.stop - 1 for part in inside])
    first, last = (np.clip(ends, 0, np.array(lesion.shape) - 1).astype(int) for ends in (first, last))
    x, y, z = (slice(int(start), int(end) + 1) for start, end in zip(first, last, strict=True))
    return x, y, z


def _ends(brain: Mask) -> Sequence[tuple[slice, int]]:
    return list(zip(components.box(brain, margin=1), brain.shape, strict=True))


def _transformed(points: Shaped[np.ndarray, "n 3"], matrix: Matrix) -> Float[np.ndarray, "n 3"]:
    return np.asarray(points @ matrix[:3, :3].T + matrix[:3, 3])
