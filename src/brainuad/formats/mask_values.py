"""Which voxels of a mask are marked, and which masks mark too little or too much to be masks of lesions."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage

from brainuad.errors import InputError
from brainuad.formats.handling import Handling
from brainuad.formats.missing_values import ISOLATED

LARGEST_LESIONS_ML = 800.0
"""The largest of 393 masks of strokes and multiple sclerosis has 575 ml; a whole brain has at least 700."""
LARGEST_SHARE_OF_BRAIN = 0.6
"""Of the brain, that lesions may fill; more is a mask of the brain or an inverted one."""
MARK, EXPORT = "lesions have values above 0", "export it with 1 in the lesion and 0 elsewhere"
LARGEST_VALUES = (255, 100, 127, 1000, 4095, 32767, 65535)
"""Values of a mask's lesion before a program scaled it down to 1."""
MANY_VALUES = 20
"""Different whole numbers above 1, beyond which they are grey values rather than labels."""

_Marks = Bool[np.ndarray, "x y z"]

HANDLED = (
    Handling("mask", "labels (1, 2, 4), 255 in place of 1, soft edges", "accepted", "values above 0.5 are lesion"),
    Handling("mask", "negative background beside a lesion of 1", "accepted", "values above 0.5 are lesion"),
    Handling("mask", "NaN as background", "converted", "set to background, with a note"),
    Handling(
        "mask",
        f"NaN amid a lesion on a background of numbers, in groups of up to {ISOLATED} voxels",
        "converted",
        "lesion where most of their neighbours are, with a note; larger groups at a lesion are refused",
    ),
    Handling(
        "mask",
        "many grey values above 1",
        "accepted",
        "values above 0.5 are lesion, with a note; `reading: {mask_threshold: 127}` sets another threshold",
    ),
    Handling("mask", "some voxels above 0 that do not reach the threshold", "accepted", "a note counts them"),
    Handling(
        "mask",
        "a mask with values above 0, but none above 0.5, such as one scaled by 1/255",
        "refused",
        "the reason names the highest value; remedy: `reading: {mask_threshold: ...}`, or export it again",
    ),
    Handling(
        "mask",
        "a mask without a value above 0, but with values below 0 or NaN",
        "refused",
        "remedy: export it with a lesion of 1",
    ),
    Handling(
        "mask",
        "a patient's mask without a marked voxel",
        "warned",
        "the scan counts neither as abnormal nor as healthy; column `unmarked`",
    ),
    Handling("mask", "infinite values in a mask", "refused", "remedy: export it again"),
    Handling(
        "mask",
        f"a mask of more than {LARGEST_LESIONS_ML:g} ml, or of more than {LARGEST_SHARE_OF_BRAIN:.0%} of the brain",
        "refused",
        "it may be inverted, or a mask of the brain",
    ),
)


@dataclass(frozen=True)
class MarkedVoxels:
    """`data`: the mask, as the values were ordered; `empty`: what it holds if no voxel is marked, else empty."""

    data: Bool[np.ndarray, "x y z"]
    notes: list[str] = field(default_factory=list)
    empty: str = ""


def marked_voxels(values: Float[np.ndarray, "x y z"], threshold: float) -> MarkedVoxels:
    """The voxels above `threshold`. Notes and errors are to be read after the file's name.

    Raises InputError for infinite values, and where values differ but none is above the threshold.
    """
    notes = []
    if np.isposinf(values).any():
        raise InputError("holds infinite values", do="export it again")
    unset = ~np.isfinite(values)
    if unset.any():
        notes.append(f"holds no number in {unset.mean():.1%} of its voxels: these are background")
        values = np.where(unset, np.float32(0), values)
    marked = values > threshold
    if unset.any():
        marked, filled = _unset_in_lesions(marked, unset)
        notes += filled
    if not marked.any():
        if unset.any() and not unset.all():
            what = f"marks nothing, and holds no number in {unset.mean():.2%} of its voxels"
            raise InputError(what, why=MARK, do=EXPORT)
        return MarkedVoxels(marked, notes, _why_empty(values, threshold))
    weak = int(((values > 0) & ~marked).sum())
    if weak:
        notes.append(
            f"has {weak:,} of its {weak + int(marked.sum()):,} voxels above 0 at or below {threshold:g}: "
            "they are no lesion"
        )
    return MarkedVoxels(marked, [*notes, *_grey_values(values[marked], threshold)])


def _unset_in_lesions(marked: _Marks, unset: _Marks) -> tuple[_Marks, list[str]]:
    """The marked voxels, with those that hold no number amid them, and a note.

    Others without a number are background: where the lesions have no other neighbours, or where they reach the edge of
    the volume. Raises InputError for larger groups of them at lesions that are drawn on a background of numbers.
    """
    around = ndimage.binary_dilation(marked) & ~marked
    if not (around & unset).any() or not (around & ~unset).any():
        return marked, []
    labels, _ = ndimage.label(unset)
    faces = (np.take(labels, end, axis) for axis in range(3) for end in (0, -1))
    edge = np.unique(np.concatenate([face.ravel() for face in faces]))
    groups = np.setdiff1d(labels[around & unset], edge)
    inside = np.isin(labels, groups)
    sizes = np.bincount(labels.ravel())[groups]
    if sizes.size and sizes.max() > ISOLATED:
        what = f"holds no number in {sizes.max():,} voxels in or beside its lesions"
        raise InputError(what, why="whether they are lesion is unknown", do=EXPORT)
    known = ndimage.uniform_filter((~unset).astype(np.float32), 3)
    amid = inside & (ndimage.uniform_filter(marked.astype(np.float32), 3) > known / 2)
    note = f"holds no number in {int(amid.sum()):,} voxels amid its lesions: these are lesion"
    return marked | amid, [note] * bool(amid.any())


def _why_empty(values: Float[np.ndarray, "x y z"], threshold: float) -> str:
    lowest, highest = float(values.min()), float(values.max())
    if highest > 0:
        what = f"marks nothing above {threshold:g}: its highest value is {highest:.3g}"
        scaled = next((n for n in LARGEST_VALUES if abs(n * highest - 1) < 0.01), None)
        looks = f"a mask scaled by 1/{scaled}" if scaled else "probabilities, or grey values"
        remedy = f"export it as 0 and 1, or set `reading: {{mask_threshold: {highest / 2:.2g}}}` for the data set"
        raise InputError(what, why=f"it looks like {looks}", do=remedy)
    if lowest < 0 and lowest < highest:
        what = f"marks nothing: its highest value is {highest:.3g}, its lowest {lowest:.3g}"
        raise InputError(what, why=MARK, do=EXPORT)
    return f"its highest value is {highest:.3g}"


def _grey_values(marked: Float[np.ndarray, "n"], threshold: float) -> list[str]:
    levels = np.unique(marked)
    if levels[-1] <= 1 or (len(levels) <= MANY_VALUES and np.array_equal(levels, np.round(levels))):
        return []
    return [f"holds {len(levels):,} values up to {levels[-1]:.4g}, and all above {threshold:g} are lesion"]
