"""Inserted lesions: which mask of a pool goes into which scan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from brainuad.config.insertion import Insertion
from brainuad.config.reading import Reading
from brainuad.errors import InputError
from brainuad.formats import raw
from brainuad.formats.mask_values import marked_voxels
from brainuad.images.insert import insert_lesion
from brainuad.images.resample import resample_mask
from brainuad.normalize.source import Preprocessed

TRIES = 40


def insert_from_pool(
    scan: Preprocessed,
    candidates: Sequence[Path],
    rng: np.random.Generator,
    settings: Insertion,
    signs: Mapping[str, str],
) -> tuple[list[Float[np.ndarray, "x y z"]], Bool[np.ndarray, "x y z"], str]:
    """The sequences of a scan with a lesion, its mask, and the name of the file of `candidates` that it came from.

    `signs`: of the lesion by sequence, the scan's own first; `dark` where there is none. Masks that cannot be read or
    mark nothing, or of which too little lies in the brain, are skipped. Raises InputError if none of 40 fits.
    """
    spacing = float(np.linalg.norm(scan.affine[:3, 0]))
    reasons: list[str] = []
    for index in rng.permutation(len(candidates))[:TRIES]:
        path = candidates[index]
        try:
            mask = raw.read_unfilled(path, Reading()).volume
            marked = marked_voxels(mask.data, Reading().mask_threshold).data
            on_grid = resample_mask(marked, mask.affine, scan.image.shape, scan.affine)
            first, before = next(iter(signs), ""), deepcopy(rng)
            bright = {name: sign == "bright" for name, sign in signs.items()}
            image, lesion = insert_lesion(
                scan.image, scan.brain, on_grid, rng, settings, spacing, bright.get(first, False)
            )
            others = [
                insert_lesion(other, scan.brain, on_grid, deepcopy(before), settings, spacing, bright[name])[0]
                for name, other in scan.sequences.items()
            ]
            return [image, *others], lesion, path.name
        except InputError as error:
            reasons.append(f"{path.name}: {error.what}")
    why = "; ".join(reasons[:3]) or "there are none for this role"
    raise InputError("no lesion mask fits", why=why, do="add masks to the folders of the data set")
