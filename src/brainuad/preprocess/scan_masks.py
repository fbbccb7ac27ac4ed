"""The masks that come with a scan, on its grid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Bool

from brainuad.errors import InputError
from brainuad.formats import volume
from brainuad.formats.raw import RawVolume
from brainuad.preprocess.scan_files import ScanFiles


@dataclass(frozen=True)
class ScanMasks:
    """Masks by name on the scan's grid, and what was converted or decided."""

    masks: Mapping[str, Bool[np.ndarray, "x y z"]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def read_masks(scan: ScanFiles, image: RawVolume) -> ScanMasks:
    """The masks of a scan. Raises InputError for a mask that cannot be used."""
    return ScanMasks({name: _read_mask(name, path, scan, image) for name, path in scan.masks.items()})


def _read_mask(name: str, path: Path, scan: ScanFiles, image: RawVolume) -> Bool[np.ndarray, "x y z"]:
    mask = volume.read_mask(path)
    if not volume.same_grid(mask, image.volume):
        raise InputError(
            f"{path.name} does not lie on the grid of {scan.image.name}",
            file=path,
            why=f"shapes {mask.data.shape} and {image.volume.data.shape}, or their affines differ",
            do="resample the mask to the scan it belongs to",
        )
    if scan.healthy and name == "mask" and mask.data.any():
        raise InputError(
            f"{scan.name} is declared healthy but has a lesion mask",
            file=path,
            why=f"{int(mask.data.sum())} voxels of {path.name} are set",
            do="correct the group in participants.tsv or the role in the study, or remove the mask",
        )
    return mask.data
