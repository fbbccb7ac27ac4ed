"""Synthetic lesions: which mask of a bank goes into which scan."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

from brainuad.config.insertion import Insertion
from brainuad.errors import InputError
from brainuad.formats import volume
from brainuad.images.insert import insert_lesion
from brainuad.images.resample import resample_mask
from brainuad.normalize.mask_pool import LesionMaskPool

Image = Float[np.ndarray, "x y z"]
Mask = Bool[np.ndarray, "x y z"]
TRIES = 40


def planted(
    image: Image,
    brain: Mask,
    affine: Float[np.ndarray, "4 4"],
    mask_pool: LesionMaskPool,
    role: str,
    rng: np.random.Generator,
    settings: Insertion,
    without: set[str],
) -> tuple[Image, Mask, str]:
    """The scan with a lesion, the lesion's mask, and the name of the file it came from, which is not in `without`.

    Masks that cannot be read, or of which too little lies in the brain, are passed over. Raises InputError when
    none of 40 fits.
    """
    spacing = float(np.linalg.norm(affine[:3, 0]))
    candidates = [path for path in mask_pool.files[role] if path.name not in without] or mask_pool.files[role]
    reasons: list[str] = []
    for index in rng.permutation(len(candidates))[:TRIES]:
        path = candidates[index]
        try:
            mask = volume.read_mask(path)
            on_grid = resample_mask(mask.data, mask.affine, image.shape, affine)
            return *insert_lesion(image, brain, on_grid, rng, settings, spacing), path.name
        except InputError as error:
            reasons.append(f"{path.name}: {error.what}")
    raise InputError(
        f"no lesion mask fits for {role}", why="; ".join(reasons[:3]) or "the bank is empty", do="add masks to the bank"
    )
