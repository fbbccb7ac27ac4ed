"""Whether CT is in Hounsfield units, judged before the scan is used. An offset is estimated and never applied."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage

from brainuad.errors import InputError
from brainuad.formats.handling import Handling
from brainuad.formats.volume import Volume
from brainuad.preprocess.brain_mask.foreground import foreground, is_of_a_brains_size, largest_component
from brainuad.preprocess.threshold import head_threshold

AIR_HU = -1000.0
TISSUE_HU = 33.0
"""Median of a brain."""
TISSUE_RANGE_HU = (5.0, 60.0)
SMALLEST_OFFSET_HU = 15.0
"""Smaller offsets are calibration, or a wrong guess of `TISSUE_HU`."""
TISSUE_TOLERANCE_HU = 40.0
"""Largest difference between the offsets of tissue and air for which one offset of all values explains both."""
USUAL_OFFSETS_HU = (1024, 1000, -1024, -1000)
PADDING_HU = -1100.0
"""Lower values are no air: scanners fill the corners outside their circle with -2000, -3024 and the like."""
OVERFLOW_HU = -8192.0
"""Lower values inside the head are those of metal that exceeded the range of the file and became negative."""
MAX_OVERFLOW_ML = 20.0
NO_AIR_HU = (-950.0, -300.0)
"""Neither air nor the end of a usual window lies in this range."""
BONE_HU = 500.0
"""Every skull is brighter."""
CLIPPED_FRACTION = 0.001
"""Share of a scan at its highest value where it was cut at it."""
UNSIGNED_FROM = 32768
"""Negative numbers that are read as unsigned ones end up above it."""
SPACING_MM = 4.0
MIN_AIR_VOXELS = 500
MIN_UNCUT_FRACTION = 0.15
"""Share of the air above the lowest value where that is noise; where air was cut, only the headrest lies above it."""
SKIN_MM, DEPTH_MM = 8.0, 20.0
"""Air is measured this far from the head, tissue this deep in it."""
EXPORT = "convert the scanner's DICOM files again, without a window or a scaling"

HANDLED = (
    Handling("CT", f"corners outside the scanner's circle below {PADDING_HU:g} HU", "accepted", "a note says so"),
    Handling(
        "CT",
        f"values below {OVERFLOW_HU:g} HU inside the head, at most {MAX_OVERFLOW_ML:g} ml",
        "converted",
        "set to the highest value, for metal exceeded the range of the file",
    ),
    Handling(
        "CT",
        f"every value too high or low by {SMALLEST_OFFSET_HU:g} HU or more, such as a rescale intercept not applied",
        "refused",
        "the reason gives the values of air or tissue in HU, the remedy the setting `reading: {intensity_offset: ...}`",
    ),
    Handling(
        "CT",
        "8 bits (0 to 255), another scale, a bone or brain window mapped to grey values",
        "refused",
        f"remedy: {EXPORT}",
    ),
    Handling(
        "CT", f"clipped to a window that ends below {BONE_HU:g} HU, such as 0 to 80", "accepted", "a note says so"
    ),
)


@dataclass(frozen=True)
class _Values:
    """`tissue`: the median deep in the head; `air`: around it, None where there is too little; `padding`: its share.

    `air_is_constant`: it was cut, filled or set to one value, so that it says little; `clipped`: the values were cut at
    the highest one.
    """

    tissue: float
    air: float | None
    air_is_constant: bool
    lowest: float
    highest: float
    clipped: bool
    padding: float


def in_hounsfield_units(scan: Volume) -> tuple[Volume, list[str]]:
    """The scan without values that overflowed, and notes. Raises InputError if it is not in Hounsfield units."""
    scan, notes = _without_overflow(scan)
    values = _values(scan)
    _refuse_other_units(values, stripped=is_of_a_brains_size(foreground(scan), scan.affine))
    if values.padding:
        notes.append(f"{values.padding:.0%} of the scan has the value {scan.data.min():g}, which is padding and no air")
    if values.clipped and values.highest < BONE_HU:
        notes.append(f"its values are clipped to {values.lowest:g} to {values.highest:g} HU")
    return scan, notes


def _without_overflow(scan: Volume) -> tuple[Volume, list[str]]:
    low = scan.data < OVERFLOW_HU
    if not low.any():
        return scan, []
    labels, _ = ndimage.label(low)
    faces = [np.take(labels, edge, axis).ravel() for axis in range(3) for edge in (0, -1)]
    inside = low & ~np.isin(labels, np.unique(np.concatenate(faces)))
    count = int(inside.sum())
    if count == 0:
        return scan, []
    if (ml := count * abs(np.linalg.det(scan.affine[:3, :3])) / 1000) > MAX_OVERFLOW_ML:
        what = f"{ml:.0f} ml inside the head lie below {OVERFLOW_HU:g} HU"
        raise InputError(what, why="values exceeded the range of the file and became negative", do=EXPORT)
    highest = scan.data.max()
    note = f"{count:,} voxels inside the head below {OVERFLOW_HU:g} HU, metal beyond the range of the file, became"
    return Volume(np.where(inside, highest, scan.data), scan.affine), [f"{note} {highest:g} HU"]


def _refuse_other_units(values: _Values, stripped: bool) -> None:
    low, high = TISSUE_RANGE_HU
    tissue = values.tissue
    if values.highest >= UNSIGNED_FROM:
        what = f"the scan is not in Hounsfield units: its values reach {values.highest:,.0f}"
        raise InputError(what, why="negative numbers were stored or read as unsigned ones", do=EXPORT)
    offset = None if values.air is None else values.air - AIR_HU
    if low <= tissue <= high:
        if _is_8_bit(values) or (values.highest < BONE_HU and not values.clipped and not stripped):
            raise _no_units(values)
        if offset is None or abs(offset) < SMALLEST_OFFSET_HU:
            return
        if abs(tissue - offset - TISSUE_HU) < min(SMALLEST_OFFSET_HU, abs(tissue - TISSUE_HU)):
            where = f"air lies at {values.air:.0f} and tissue at {tissue:.0f}"
            raise _with_offset(where, (offset + tissue - TISSUE_HU) / 2)
        between = NO_AIR_HU[0] < AIR_HU + offset < NO_AIR_HU[1]
        if between or (abs(offset) > TISSUE_TOLERANCE_HU and not values.air_is_constant):
            raise _no_units(values)
        return
    by_tissue = tissue - TISSUE_HU
    if offset is not None and abs(by_tissue - offset) <= TISSUE_TOLERANCE_HU:
        where = f"air lies at {values.air:.0f}, not at {AIR_HU:g}"
        raise _with_offset(where, by_tissue if values.air_is_constant else offset)
    if any(abs(by_tissue - usual) <= TISSUE_TOLERANCE_HU for usual in USUAL_OFFSETS_HU):
        raise _with_offset(f"tissue lies at {tissue:.0f}, not at {low:g} to {high:g}", by_tissue)
    raise _no_units(values)


def _is_8_bit(values: _Values) -> bool:
    return values.lowest >= 0 and 250 <= values.highest <= 255


def _no_units(values: _Values) -> InputError:
    what = f"the scan is not in Hounsfield units: its values go from {values.lowest:.4g} to {values.highest:.4g}"
    air = "" if values.air is None else f"air at {values.air:.3g}, "
    return InputError(what, why=f"{air}tissue in the head at {values.tissue:.3g}", do=EXPORT)


def _with_offset(where: str, offset: float) -> InputError:
    """The error for values that are `offset` too high; the usual offset where one is near."""
    near = min(USUAL_OFFSETS_HU, key=lambda usual: abs(offset - usual))
    exact = near if abs(offset - near) <= 0.5 * abs(1024 - 1000) else round(offset)
    if exact in (1000, 1024):
        why = "the rescale intercept was not applied"
    elif exact in (-1000, -1024):
        why = "the rescale intercept was applied twice"
    else:
        why = f"every value is about {abs(exact)} HU too {'high' if exact > 0 else 'low'}"
    setting = f"`reading: {{intensity_offset: {-exact}}}` of the data set, in addition to one that is set already"
    return InputError(where, why=why, do=f"if that is so, set {setting}; or convert the DICOM files again")


def _values(scan: Volume) -> _Values:
    step = tuple(slice(None, None, max(1, round(SPACING_MM / s))) for s in scan.spacing)
    data = np.asarray(scan.data[step], np.float32)
    spacing = [s * (part.step or 1) for s, part in zip(scan.spacing, step, strict=True)]
    lowest = float(data.min())
    padded = (data == lowest) & (lowest < PADDING_HU)
    own = data if padded.all() else data[~padded]
    low, high = float(own.min()), float(own.max())
    middle = tuple(slice(n // 4, n - n // 4) for n in data.shape)
    background = np.where(foreground(Volume(data, scan.affine)), data, low)
    shifted = np.clip(background - low, 0, max(float(np.percentile(data[middle], 90)) - low, 1e-6))
    head = _filled(shifted > head_threshold(shifted))
    around = (ndimage.distance_transform_edt(~head, sampling=spacing) > SKIN_MM) & ~padded
    uncut = around & (background > low)
    air = data[uncut if uncut.sum() >= max(MIN_AIR_VOXELS, MIN_UNCUT_FRACTION * around.sum()) else around]
    return _Values(
        tissue=_median_inside(data, head, spacing, (low, high)),
        air=float(np.median(air)) if air.size >= MIN_AIR_VOXELS else None,
        air_is_constant=bool(air.size and (air == np.median(air)).mean() > 0.5),
        lowest=low,
        highest=high,
        clipped=bool((data == high).mean() > CLIPPED_FRACTION),
        padding=float(padded.mean()),
    )


def _filled(mask: Bool[np.ndarray, "x y z"]) -> Bool[np.ndarray, "x y z"]:
    return np.asarray(ndimage.binary_fill_holes(largest_component(ndimage.binary_opening(mask))))


def _median_inside(
    data: Float[np.ndarray, "x y z"], head: Bool[np.ndarray, "x y z"], spacing: list[float], ends: tuple[float, float]
) -> float:
    """Median deep in the head, without voxels at the ends of a window; of all, where the head is thin."""
    depth = ndimage.distance_transform_edt(np.pad(head, 8, mode="edge"), sampling=spacing)[8:-8, 8:-8, 8:-8]
    between = (data > ends[0]) & (data < ends[1])
    for inside in (between & (depth > DEPTH_MM), between & head, between):
        if inside.sum() >= MIN_AIR_VOXELS:
            return float(np.median(data[inside]))
    return float(np.median(data))
