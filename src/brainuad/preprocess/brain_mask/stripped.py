"""Whether a scan is skull-stripped already."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage

from brainuad.formats.handling import Handling
from brainuad.formats.volume import Volume
from brainuad.preprocess.brain_mask.foreground import foreground, is_of_a_brains_size, largest_component
from brainuad.preprocess.modality import CT_TISSUE_HU, is_ct

FOREGROUND_FRACTION = 0.02
"""What differs from the background by more than this share of the range of values is no noise or ringing of it."""
MAX_NOISE_FRACTION = 0.05
"""Share of the range up to which the noise of the background is that of a stripped scan. Measured on the faces of 70
heads: 0.08 and more."""
MAX_RINGING_FRACTION = 0.4
BOTH_SIDES = 0.1
"""Share of the brain below and above the background in scans that were centred at 0: no skull can be seen there."""
MAX_BESIDE_FRACTION = 0.1
"""What lies apart from the brain, divided by it; more is a scalp that a dark skull sets apart."""
LARGE_BRAIN_MM3 = 1.6e6
MAX_SKULL_FRACTION = {False: 0.095, True: 0.07}
"""Share of skull under the surface above which a scan is a whole head, by whether it is larger than most brains.

Measured: 27 real stripped scans 0.043 at most, with half a face left 0.06; upper 60 to 110 mm of 16 real heads with the
air set to zero 0.08 and more, one of 60 mm 0.04."""
DOUBTFUL_SKULL_FRACTION = 0.05
"""From here on a note says that the decision was close."""
DARK, BRIGHT = 0.25, 0.4
"""Of the brain's median: bone lies below in MR, the scalp above."""
SCALP_MM, SKULL_MM, DEPTH_MM = 5.0, (4.0, 14.0), 20.0
"""Depths under the surface of the head: of the scalp, of the skull, and where all is brain."""
SPACING_MM = 3.0
PADDING = 8
"""Voxels around the box: where it cuts the head there is no surface."""
STATE = "`reading: {stripped: ...}` of the data set states it"

HANDLED = (
    Handling("head", "skull-stripped, background of one exact value", "accepted", "its foreground is the brain"),
    Handling(
        "head",
        f"skull-stripped, background with noise or ringing up to {MAX_NOISE_FRACTION:.0%} of the range",
        "converted",
        "the background is set to one value, with a note",
    ),
    Handling(
        "head",
        "a slab of a head whose air was set to one value",
        "accepted",
        "taken as a head with its skull, which shows between scalp and brain, with a note",
    ),
    Handling("CT", "air cut to 0, with bone above", "accepted", "taken as a head with its skull"),
    Handling(
        "head",
        "a scan that is wrongly recognised as stripped or not",
        "accepted",
        "the setting `reading: {stripped: ...}` overrules it",
    ),
)


@dataclass(frozen=True)
class Decision:
    """`scan`: its background of one value if it is stripped."""

    scan: Volume
    stripped: bool
    notes: list[str] = field(default_factory=list)


def decide(scan: Volume, modality: str, stated: bool | None = None) -> Decision:
    """Whether a scan is skull-stripped: by its background, the size of the rest, and no skull.

    `stated`: what the data set says, if it does.
    """
    if stated is False:
        return Decision(scan, False)
    even: Volume | None = scan
    if not is_of_a_brains_size(foreground(scan), scan.affine):
        # air was cut: beside bone, tissue would seem to be noise
        cut = is_ct(modality) and _background_level(scan) >= 0
        even = _with_even_background(scan, np.minimum(scan.data, CT_TISSUE_HU[1]) if cut else scan.data, bool(stated))
    if even is None:
        return Decision(scan, bool(stated))
    skull = skull_fraction(even, modality)
    large = float(foreground(even).sum()) * abs(float(np.linalg.det(scan.affine[:3, :3]))) > LARGE_BRAIN_MM3
    if stated is None and skull > MAX_SKULL_FRACTION[large]:
        note = f"taken as a head with its skull, which is {skull:.0%} of what lies under its surface; {STATE}"
        return Decision(scan, False, [note])
    notes = [] if even is scan else ["its background was not of one value, and was set to one: it is skull-stripped"]
    if stated is None and skull > DOUBTFUL_SKULL_FRACTION:
        notes.append(f"taken as skull-stripped, although {skull:.0%} of its outer part look like skull; {STATE}")
    return Decision(even, True, notes)


def skull_fraction(scan: Volume, modality: str) -> float:
    """Share of the layer under a head's or brain's surface that is bone: bright in CT, dark below a bright scalp in MR.

    A dark rim alone, as a loose mask leaves it on fluid, is no skull.
    """
    step = tuple(slice(None, None, max(1, round(SPACING_MM / s))) for s in scan.spacing)
    spacing = [s * (part.step or 1) for s, part in zip(scan.spacing, step, strict=True)]
    data, level = np.asarray(scan.data[step], np.float32), _background_level(scan)
    inside = ndimage.binary_opening(np.abs(data - level) > FOREGROUND_FRACTION * _range(scan, level))
    inside = ndimage.binary_fill_holes(largest_component(inside))
    depth = ndimage.distance_transform_edt(np.pad(inside, PADDING, mode="edge"), sampling=spacing)
    depth = depth[PADDING:-PADDING, PADDING:-PADDING, PADDING:-PADDING]
    layer = (depth > SKULL_MM[0]) & (depth < SKULL_MM[1])
    if not (layer.any() and (depth > DEPTH_MM).any()):
        return 0.0
    if is_ct(modality):
        return float((data[layer] >= CT_TISSUE_HU[1]).mean())
    deep = data[depth > DEPTH_MM] - level
    if min((deep < 0).mean(), (deep > 0).mean()) > BOTH_SIDES:
        return 0.0
    relative = (data - level) / (float(np.median(deep)) or 1.0)
    scalp = np.where((depth > 0) & (depth <= SCALP_MM), relative, -np.inf)
    near = ndimage.maximum_filter(scalp, size=[2 * round(8 / s) + 1 for s in spacing])
    return float(((relative < DARK) & (near > BRIGHT))[layer].mean())


def _with_even_background(original: Volume, values: Float[np.ndarray, "x y z"], stated: bool) -> Volume | None:
    """The scan with its background, recognised in `values`, set to one value; None if the rest has not a brain's size.

    Unless the scan is `stated` to be stripped, also None where the background is not quiet, or a scalp lies apart.
    """
    scan = Volume(values, original.affine)
    level = _background_level(scan)
    span = _range(scan, level)
    noise = float(np.percentile(np.abs(_faces(scan) - level), 99))
    if noise > MAX_NOISE_FRACTION * span and not stated:
        return None
    inside = _apart_from(level, scan, max(FOREGROUND_FRACTION * span, 2 * noise))
    core = largest_component(ndimage.binary_opening(inside))
    brain = ndimage.binary_fill_holes(inside & ndimage.binary_dilation(core, iterations=2))
    beside = float((inside & ~brain).sum()) / max(1, brain.sum())
    if (beside > MAX_BESIDE_FRACTION and not stated) or not is_of_a_brains_size(brain, scan.affine):
        return None
    return Volume(np.where(brain, original.data, np.float32(level)), scan.affine)


def _apart_from(level: float, scan: Volume, least: float) -> Bool[np.ndarray, "x y z"]:
    """Voxels that differ from the background by more than `least`, and by more than its ringing."""
    brighter = scan.data - level if scan.data.mean() >= level else level - scan.data
    overshoot = -brighter[brighter < -least]
    ringing = 1.5 * float(np.percentile(overshoot, 90)) if overshoot.size else 0.0
    if ringing > MAX_RINGING_FRACTION * _range(scan, level):  # the brain itself has values on both sides, as z-scores
        return np.asarray(np.abs(brighter) > least)
    return np.asarray(brighter > max(least, ringing))


def _faces(scan: Volume) -> Float[np.ndarray, "voxels"]:
    return np.concatenate([np.take(scan.data, edge, axis).ravel() for axis in range(3) for edge in (0, -1)])


def _background_level(scan: Volume) -> float:
    return float(np.median(_faces(scan)))


def _range(scan: Volume, level: float) -> float:
    low, high = np.percentile(scan.data[::2, ::2, ::2], (0.5, 99.5))
    return float(max(high - level, level - low))
