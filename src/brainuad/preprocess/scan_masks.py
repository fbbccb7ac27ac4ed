"""The masks that come with a scan, on its grid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Bool

from brainuad.errors import InputError
from brainuad.formats import mask_files, mask_grid, mask_values, status
from brainuad.formats.mask_files import MaskFile
from brainuad.formats.raw import RawVolume
from brainuad.formats.status import Numbers
from brainuad.preprocess.scan_files import ScanFiles

Mask = Bool[np.ndarray, "x y z"]
SMALLEST_BRAIN_ML = 500.0
"""Of a scan, from which lesions are compared with it."""
MOSTLY_OUTSIDE = 0.5
"""Share of a lesion mask outside the brain, from which a warning names it."""


@dataclass(frozen=True)
class ScanMasks:
    """Masks by name on the scan's grid, and what was converted or decided.

    `warnings`: what a person should look at; `numbers`: of the masks, as `formats.quality` defines them.
    """

    masks: Mapping[str, Mask] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    numbers: Numbers = field(default_factory=dict)


def read_masks(scan: ScanFiles, image: RawVolume) -> ScanMasks:
    """The masks of a scan. Raises InputError for a mask that cannot be used, and for lesions of a healthy subject."""
    masks: dict[str, Mask] = {}
    notes: list[str] = []
    warnings: list[str] = []
    numbers: Numbers = {}
    for name in status.MASKS:
        paths = scan.masks_named(name)
        if not paths:
            continue
        files = {path: mask_files.read_mask(path, scan.reading, mask_files.grid_of(image)) for path in paths}
        masks[name] = np.logical_or.reduce([file.data for file in files.values()])
        notes += _notes(files, image)
        if name == status.LESIONS:
            ml = numbers["lesion_ml"] = mask_grid.millilitres(masks[name], image.volume.affine)
            _check_lesions(scan, paths[0], masks[name], ml)
            if not ml and not scan.healthy:
                held = "; ".join(f"{path.name}: {file.empty}" for path, file in files.items())
                warnings.append(f"the lesion mask marks nothing ({held})")
    return ScanMasks(masks, notes, warnings, numbers)


def misplaced_lesions(scan: ScanFiles, found: ScanMasks, on_grid: Mapping[str, Mask], brain: Mask) -> list[str]:
    """What looks wrong with the place of the lesions. `on_grid`: the masks on the template's grid, as `brain`.

    Raises InputError if the lesions fill most of a brain; of one that is too small the skull-strip may be to blame.
    """
    lesion = on_grid.get(status.LESIONS)
    if lesion is None or not found.numbers["lesion_ml"]:
        return []
    if not lesion.any():
        return [f"the lesions ({found.numbers['lesion_ml']:.2g} ml) mark less than a voxel of the template's grid"]
    inside, voxels = int((lesion & brain).sum()), int(lesion.sum())
    share, brain_ml = inside / max(1, int(brain.sum())), brain.sum() * found.numbers["lesion_ml"] / voxels
    if share > mask_values.LARGEST_SHARE_OF_BRAIN and brain_ml >= SMALLEST_BRAIN_ML:
        raise _too_large(scan.masks_named(status.LESIONS)[0], f"{share:.0%} of the brain")
    outside = 1 - inside / voxels
    return [f"{outside:.0%} of the lesion mask lie outside the brain"] if outside > MOSTLY_OUTSIDE else []


def _notes(files: Mapping[Path, MaskFile], image: RawVolume) -> list[str]:
    notes = [note for file in files.values() for note in file.notes]
    if len(files) > 1:
        each = ", ".join(
            f"{path.name} ({mask_grid.millilitres(file.data, image.volume.affine):.3g} ml)"
            for path, file in files.items()
        )
        notes.append(f"{len(files)} masks are taken as one: {each}")
    return notes


def _check_lesions(scan: ScanFiles, path: Path, lesion: Mask, ml: float) -> None:
    if scan.healthy and ml:
        raise InputError(
            f"{scan.name} is declared healthy but has a lesion mask",
            file=path,
            why=f"{int(lesion.sum())} voxels of {path.name} are set",
            do="correct the group in participants.tsv or the role in the study, or remove the mask",
        )
    if ml > mask_values.LARGEST_LESIONS_ML:
        raise _too_large(path, f"{ml:,.0f} ml")


def _too_large(path: Path, size: str) -> InputError:
    most = f"{mask_values.LARGEST_LESIONS_ML:g} ml and {mask_values.LARGEST_SHARE_OF_BRAIN:.0%} of the brain"
    return InputError(
        f"{path.name} marks {size}, more than lesions fill",
        file=path,
        why=f"at most {most} are allowed: is it inverted, or a mask of the brain?",
        do="export it with 1 in the lesion and 0 elsewhere, correct `mask` in the study, or, where lesions have the "
        "highest of several labels, set `reading: {mask_threshold: ...}` below it",
    )
