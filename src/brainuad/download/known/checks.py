"""Checks of a scan's files during conversion: shape, labels, Hounsfield units."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Shaped

from brainuad.errors import InputError
from brainuad.formats import volume

COPY_AGAIN = "copy it again from the data set"


def shape_of(path: str | Path) -> tuple[int, ...]:
    """The shape in a file's header; raises InputError if it cannot be read."""
    import nibabel as nib

    try:
        return tuple(int(n) for n in nib.load(path).shape)
    except (OSError, EOFError, ValueError, nib.filebasedimages.ImageFileError) as error:
        raise InputError(f"{Path(path).name} cannot be read", file=path, why=str(error), do=COPY_AGAIN) from None


def require_shape(path: str | Path, shape: tuple[int, ...]) -> None:
    """Raises InputError for another shape."""
    if (actual := shape_of(path)) != shape:
        why = f"its shape is {actual}, not {shape}"
        raise InputError(f"{Path(path).name} has a wrong shape", file=path, why=why, do=COPY_AGAIN)


def require_labels(values: Shaped[np.ndarray, "..."], allowed: set[int], path: str | Path) -> Bool[np.ndarray, "..."]:
    """The lesion mask; raises InputError for labels that are not allowed, or if no voxel is set."""
    if unknown := sorted(set(np.unique(values).tolist()) - {float(label) for label in allowed}):
        why = "it holds " + ", ".join(f"{value:g}" for value in unknown[:5])
        what = f"{Path(path).name} holds labels other than {', '.join(map(str, sorted(allowed)))}"
        raise InputError(what, file=path, why=why, do=COPY_AGAIN)
    if not values.any():
        why = "no voxel is set, and the scan is a patient's"
        raise InputError(f"{Path(path).name} is empty", file=path, why=why, do=f"{COPY_AGAIN} or exclude the subject")
    return values > 0


def check_mask(image: str | Path, mask: str | Path, allowed: set[int]) -> None:
    """Raises InputError for a mask of another shape than its image, with other labels than the allowed, or empty."""
    require_shape(mask, shape_of(image))
    require_labels(volume.read(mask, constant=True).data, allowed, mask)


def require_hounsfield(data: Float[np.ndarray, "x y z"], path: str | Path) -> None:
    """Raises InputError if a head CT is not in Hounsfield units: air near -1000, bone above 500, little beyond 4095.

    Metal may go beyond; the padding that some scanners write (-2000, -3024) counts as air.
    """
    low, high = float(data.min()), float(np.percentile(data, 99.9))
    if low > -500 or not 300 < high < 8000:
        why = f"its values run from {low:g} to {high:g} (99.9th percentile); air has -1000, bone 500 to 3000"
        do = "apply the DICOM slope and intercept, or copy it again"
        raise InputError(f"{Path(path).name} is not in Hounsfield units", file=path, why=why, do=do)


def stack_pictures(folder: Path) -> Shaped[np.ndarray, "columns rows slices"]:
    """The grey-scale pictures of a folder, in the order of the numbers in their names, with unchanged values.

    Raises InputError for one that cannot be read, or if sizes differ.
    """
    from PIL import Image

    slices = []
    for path in sorted(folder.glob("*.png"), key=lambda path: int(path.stem)):
        try:
            with Image.open(path) as picture:
                slices.append(np.asarray(picture if picture.mode in ("L", "I;16") else picture.convert("L")).T)
        except OSError as error:
            raise InputError(f"{path.name} cannot be read", file=path, why=str(error), do=COPY_AGAIN) from None
    if len({piece.shape for piece in slices}) > 1:
        raise InputError(f"the slices of {folder.parent.name} differ in size", file=folder, do=COPY_AGAIN)
    return np.stack(slices, axis=-1)
