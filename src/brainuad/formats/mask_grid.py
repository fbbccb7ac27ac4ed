"""A mask on the voxels of the scan that it was drawn for: by voxels where the grids are one, else by mm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import nibabel as nib
import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage

from brainuad.errors import InputError
from brainuad.formats.handling import Handling

Mask = Bool[np.ndarray, "x y z"]
Matrix = Float[np.ndarray, "4 4"]

ROUNDING_VOXELS = 0.1
"""Distance at the corners of two grids of one shape, in voxels, up to which they are the same."""
TOLD_MM = 0.01
"""Smallest distance that a note mentions."""
DIGITS = (2, 3, 4)
"""Decimals to which programs round an affine; at the far corner that may be a voxel."""
SAME_EXTENT = 0.6
"""Extents of two fields of view along an axis, smaller by larger, from which they should have one centre."""
CENTRE_SHARE = 0.2
"""Distance of the centres of such fields, as a share of the larger extent, up to which they show one head."""
MIN_INSIDE = 0.5
"""Share of a mask's lesion that must lie in the scan's field of view."""
TO_TEMPLATE = (3, 4)
"""NIfTI codes of affines into the space of Talairach's atlas or of MNI."""
TEMPLATE_SHAPES = {(182, 218, 182), (181, 217, 181), (193, 229, 193), (197, 233, 189), (91, 109, 91), (97, 115, 97)}
"""Shapes of the MNI templates of FSL, SPM, nilearn and TemplateFlow, whose affines are whole numbers of mm."""
TEMPLATE_CORNERS = ((-90, -126, -72), (-96, -132, -78), (-98, -134, -72), (-78, -112, -70), (-78, -112, -50))
"""Lowest voxel of these templates, and of the bounding boxes that SPM cuts them to, in mm, whatever the voxel size."""
MOST_REDUCED = 4
"""Factor by which a mask may have been reduced in size while the scan's affine was kept."""
MOST_SAMPLES = 9
"""Points along a side of the scan's voxel, at which another grid is read."""
REMEDY = "resample the mask to the scan it belongs to"
NO_AFFINE_REMEDY = "copy the scan's affine into the mask if it was drawn on the scan's voxels, in their order"

HANDLED = (
    Handling(
        "mask", "a mask whose axes are stored in another order or direction", "converted", "reordered by its affine"
    ),
    Handling(
        "mask",
        f"a mask of the scan's shape, its corners up to {ROUNDING_VOXELS:g} voxels off",
        "accepted",
        "taken voxel by voxel as a rounded affine, with a note",
    ),
    Handling(
        "mask",
        f"a mask with the scan's affine, rounded to {DIGITS[0]} to {DIGITS[-1]} digits",
        "accepted",
        "taken voxel by voxel, with a note",
    ),
    Handling(
        "mask", "a mask of the scan's shape, farther off or rotated", "refused", "the reason gives the distance in mm"
    ),
    Handling(
        "mask",
        "a mask of the scan's shape, with the affine of the scan that is not used (sform or qform)",
        "accepted",
        "taken voxel by voxel, with a note that says what disagrees",
    ),
    Handling(
        "mask", "a mask without an affine (sform and qform codes are 0)", "refused", f"remedy: {NO_AFFINE_REMEDY}"
    ),
    Handling(
        "mask",
        "a mask on another grid in the same space: half resolution, another sequence of the session, a cut-out",
        "converted",
        "resampled by mm, with a note of the volume before and after",
    ),
    Handling(
        "mask",
        "a mask on another grid that covers another place, has no origin, or is in a template's space",
        "refused",
        f"remedy: {REMEDY}",
    ),
    Handling(
        "mask",
        "a mask with the scan's affine, but axes in another order, or 2 to 4 times more or fewer voxels along an axis",
        "refused",
        "the reason says that the affine does not fit the voxels",
    ),
    Handling(
        "mask",
        "a mask on another grid, where the scan's sform and qform differ",
        "refused",
        "it is not known which of the two places the mask",
    ),
)


@dataclass(frozen=True)
class Grid:
    """A grid of voxels. `affines`: those its header has, the one in use first; `code`: that one's NIfTI code."""

    shape: tuple[int, ...]
    affines: Sequence[Matrix]
    code: int

    @property
    def in_template_space(self) -> bool:
        """Whether the header says so, or the grid is that of a common template."""
        affine = self.affines[0]
        whole = np.array_equal(affine, affine.round()) and tuple(self.shape) in TEMPLATE_SHAPES
        lowest = (affine @ _corners(self.shape))[:3].min(axis=1)
        straight = np.count_nonzero(affine[:3, :3]) == 3
        corner = straight and any(np.allclose(lowest, each, atol=1e-3) for each in TEMPLATE_CORNERS)
        return self.code in TO_TEMPLATE or whole or corner

    @property
    def spacing(self) -> Float[np.ndarray, "3"]:
        """Voxel size in mm."""
        return np.linalg.norm(self.affines[0][:3, :3], axis=0)


@dataclass(frozen=True)
class PlacedMask:
    """A mask on the scan's voxels, in the order of its axes, and notes to be read after the mask's name."""

    data: Mask
    notes: list[str] = field(default_factory=list)


def place(data: Mask, mask: Grid, scan: Grid) -> PlacedMask:
    """The mask `data` of the grid `mask` on the voxels of `scan`.

    Raises InputError, whose text is to be read after the mask's name, if it does not belong to these.
    """
    affine, wanted = mask.affines[0], scan.affines[0]
    turned, moved = _in_order_of(data, affine, wanted)
    if turned.shape == tuple(scan.shape):
        distance = _corner_distance(turned.shape, moved, wanted)
        if distance.voxels <= ROUNDING_VOXELS:
            note = f"lies {distance.mm:.2g} mm beside the scan's voxels, which counts as rounding"
            return PlacedMask(turned, [note] * (distance.mm >= TOLD_MM))
        if any(_is_rounded(affine, turned.shape, moved, wanted, digits) for digits in DIGITS):
            return PlacedMask(turned, ["is taken voxel by voxel: its affine is the scan's, rounded"])
    by_other = _by_another_affine(data, mask, scan)
    if by_other is not None:
        return by_other
    if turned.shape == tuple(scan.shape):
        raise _beside(turned.shape, moved, wanted)
    return _resampled(turned, moved, mask, scan)


@dataclass(frozen=True)
class _Distance:
    """The largest distance of two grids at their corners."""

    mm: float
    voxels: float
    """Along an axis."""


def _in_order_of(data: Mask, affine: Matrix, wanted: Matrix) -> tuple[Mask, Matrix]:
    """A mask and its affine with axes in the order and direction of the grid `wanted`."""
    orientation = nib.orientations.io_orientation(np.linalg.inv(wanted) @ affine)
    turned = nib.orientations.apply_orientation(data, orientation)
    return turned, affine @ nib.orientations.inv_ornt_aff(orientation, data.shape)


def _corners(shape: Sequence[int]) -> Float[np.ndarray, "4 8"]:
    x, y, z = np.meshgrid(*((0, n - 1) for n in shape), indexing="ij")
    return np.stack([x.ravel(), y.ravel(), z.ravel(), np.ones(8)]).astype(float)


def _corner_distance(shape: Sequence[int], affine: Matrix, wanted: Matrix) -> _Distance:
    corners = _corners(shape)
    apart = (affine - wanted) @ corners
    voxels = np.linalg.inv(wanted)[:3, :3] @ apart[:3]
    return _Distance(float(np.linalg.norm(apart[:3], axis=0).max()), float(np.abs(voxels).max()))


def _is_rounded(stored: Matrix, shape: Sequence[int], affine: Matrix, wanted: Matrix, digits: int) -> bool:
    """Whether an affine is `wanted`, written with so many digits: the origin, a corner, then agrees as well."""
    step = 10.0**-digits
    if not np.allclose(stored, stored.round(digits), atol=step / 100):
        return False
    corner = np.linalg.norm(((affine - wanted) @ _corners(shape))[:3], axis=0).min()
    return bool(np.abs((affine - wanted)[:3, :3]).max() <= 0.51 * step and corner <= step)


def _by_another_affine(data: Mask, mask: Grid, scan: Grid) -> PlacedMask | None:
    """The mask voxel by voxel where any of its affines is any of the scan's."""
    for i, affine in enumerate(mask.affines):
        for j, wanted in enumerate(scan.affines):
            turned, moved = _in_order_of(data, affine, wanted)
            if (i, j) == (0, 0) or turned.shape != tuple(scan.shape):
                continue
            if _corner_distance(turned.shape, moved, wanted).voxels <= ROUNDING_VOXELS:
                side = scan if j else mask
                whose = "scan's" if j else "mask's"
                apart = _corner_distance(side.shape, side.affines[1], side.affines[0]).mm
                note = f"is taken voxel by voxel: the {whose} sform and qform lie {apart:.3g} mm apart"
                return PlacedMask(turned, [note])
    return None


def _beside(shape: Sequence[int], affine: Matrix, wanted: Matrix) -> InputError:
    apart = ((affine - wanted) @ _corners(shape))[:3]
    mm = float(np.linalg.norm(apart, axis=0).max())
    same = np.allclose(apart, apart[:, :1], atol=TOLD_MM)
    shift = f" ({_numbers(apart[:, 0])} mm along x, y and z)" if same else " at its farthest corner"
    return InputError(
        f"lies {mm:.3g} mm beside the scan's voxels{shift}",
        why="it has their shape, but another affine",
        do=f"{REMEDY}, or copy the scan's affine into it",
    )


def _resampled(data: Mask, affine: Matrix, mask: Grid, scan: Grid) -> PlacedMask:
    wanted = scan.affines[0]
    _check_affine_fits(mask, scan)
    _check_one_space(mask, scan)
    _check_fields_of_view(_Field.of(data.shape, affine, wanted), _Field.of(scan.shape, wanted, wanted))
    inside = _share_inside(data, affine, scan)
    if inside < MIN_INSIDE:
        what = f"lies outside the scan's field of view with {1 - inside:.0%} of its lesion"
        raise InputError(what, why=_grids(mask, scan), do=REMEDY)
    result = _by_share_of_voxels(data, affine, scan)
    before, after = (millilitres(each, matrix) for each, matrix in ((data, affine), (result, wanted)))
    lost = f"; {1 - inside:.0%} of it lie outside the scan" if inside < 1 else ""
    note = f"was resampled to the scan's voxels: {_grids(mask, scan)}; {before:.3g} ml before, {after:.3g} ml after"
    return PlacedMask(result, [note + lost])


def _check_affine_fits(mask: Grid, scan: Grid) -> None:
    """Raises InputError where the scan's affine was kept for voxels in another order or of another size."""
    if not np.allclose(mask.affines[0], scan.affines[0], atol=TOLD_MM):
        return
    reduced, enlarged = _factors(mask.shape, scan.shape), _factors(scan.shape, mask.shape)
    if sorted(mask.shape) == sorted(scan.shape):
        lost = "its axes are in another order"
    elif reduced or enlarged:
        lost = "1 voxel for" if reduced else "voxels for 1 of the scan:"
        lost += f" {_numbers(reduced or enlarged)} along its axes"
    else:
        return
    why = f"it has the scan's affine, but {lost}; {_grids(mask, scan)}"
    raise InputError("has an affine that does not fit its voxels", why=why, do=f"{REMEDY}, with its own affine")


def _factors(small: Sequence[int], large: Sequence[int]) -> list[int]:
    """By how much each axis is shorter, up to rounding; empty where that is no whole number up to `MOST_REDUCED`."""
    possible = range(1, MOST_REDUCED + 1)
    pairs = list(zip(small, large, strict=True))
    found = [next((n for n in possible if abs(own * n - other) < n), 0) for own, other in pairs]
    return found if all(found) and set(found) != {1} else []


def _check_one_space(mask: Grid, scan: Grid) -> None:
    if len(scan.affines) > 1:
        apart = _corner_distance(scan.shape, scan.affines[1], scan.affines[0])
        if apart.voxels > ROUNDING_VOXELS:
            why = f"the scan's sform and qform lie {apart.mm:.3g} mm apart: it is not known which places the mask"
            raise InputError("does not lie on the scan's grid", why=why, do=REMEDY)
    by_template = [grid.in_template_space for grid in (mask, scan)]
    if by_template[0] != by_template[1]:
        whose = ("mask", "scan") if by_template[0] else ("scan", "mask")
        why = f"the {whose[0]} is in MNI or Talairach space, the {whose[1]} is not; {_grids(mask, scan)}"
        raise InputError("lies in another space than the scan", why=why, do=REMEDY)
    if not mask.affines[0][:3, 3].any() and scan.affines[0][:3, 3].any():
        raise InputError("has an affine without an origin", why=_grids(mask, scan), do=REMEDY)


@dataclass(frozen=True)
class _Field:
    """A field of view along the axes of the scan, in mm."""

    centre: Float[np.ndarray, "3"]
    extent: Float[np.ndarray, "3"]

    @classmethod
    def of(cls, shape: Sequence[int], affine: Matrix, axes: Matrix) -> _Field:
        """`axes`: affine of the scan, which gives the axes."""
        spacing = np.linalg.norm(axes[:3, :3], axis=0)
        edges = _corners(shape)
        edges[:3] = np.where(edges[:3] > 0, np.array(shape)[:, None] - 0.5, -0.5)
        along = (np.linalg.inv(axes) @ affine @ edges)[:3] * spacing[:, None]
        return cls((along.min(axis=1) + along.max(axis=1)) / 2, along.max(axis=1) - along.min(axis=1))


def _check_fields_of_view(mask: _Field, scan: _Field) -> None:
    """A field of about the scan's extent must have its centre, a smaller or larger one must lie in it or around it."""
    apart = np.abs(mask.centre - scan.centre)
    larger, smaller = np.maximum(mask.extent, scan.extent), np.minimum(mask.extent, scan.extent)
    allowed = np.where(smaller >= SAME_EXTENT * larger, CENTRE_SHARE * larger, (larger - 0.6 * smaller) / 2)
    if (apart > allowed).any():
        raise InputError(
            f"has its field of view elsewhere: {np.linalg.norm(mask.centre - scan.centre):.0f} mm from the scan's",
            why=f"the fields have {_numbers(mask.extent, 0)} and {_numbers(scan.extent, 0)} mm",
            do=REMEDY,
        )


def _by_share_of_voxels(data: Mask, affine: Matrix, scan: Grid) -> Mask:
    """The scan's voxels of which at least half is lesion, which keeps volumes better than interpolation does."""
    result = np.zeros(scan.shape, bool)
    voxels = np.argwhere(data)
    if not len(voxels):
        return result
    to_scan = np.linalg.inv(scan.affines[0]) @ affine
    ends = np.stack([voxels.min(axis=0) - 0.5, voxels.max(axis=0) + 0.5])
    corners = np.array(np.meshgrid(*ends.T)).reshape(3, -1)
    places = to_scan[:3, :3] @ corners + to_scan[:3, 3:]
    first = np.clip(np.floor(places.min(axis=1)), 0, scan.shape).astype(int)
    stop = np.clip(np.ceil(places.max(axis=1)) + 1, 0, scan.shape).astype(int)
    box = tuple(slice(a, b) for a, b in zip(first, stop, strict=True))
    to_mask = np.linalg.inv(to_scan)
    steps = np.abs(to_mask[:3, :3]).max(axis=0)  # voxels of the mask per voxel of the scan
    counts = np.clip(2 * np.ceil(steps) + 1, 3, MOST_SAMPLES).astype(int)
    inside = np.zeros(stop - first, np.int16)
    for offset in np.stack(np.meshgrid(*((np.arange(n) + 0.5) / n - 0.5 for n in counts)), -1).reshape(-1, 3):
        start = to_mask[:3, :3] @ (first + offset) + to_mask[:3, 3]
        inside += ndimage.affine_transform(
            data.view(np.uint8), to_mask[:3, :3], start, output_shape=inside.shape, order=0, mode="grid-constant"
        )
    result[box] = 2 * inside >= counts.prod()
    return result


def _share_inside(data: Mask, affine: Matrix, scan: Grid) -> float:
    """The share of a mask's voxels whose centres lie in the scan's field of view; 1 for an empty mask."""
    voxels = np.argwhere(data)
    if not len(voxels):
        return 1.0
    matrix = np.linalg.inv(scan.affines[0]) @ affine
    index = voxels @ matrix[:3, :3].T + matrix[:3, 3]
    return float(((index >= -0.5) & (index <= np.array(scan.shape) - 0.5)).all(axis=1).mean())


def millilitres(data: Mask, affine: Matrix) -> float:
    """Volume of the voxels of a mask. `affine`: voxel index to mm."""
    return float(data.sum() * abs(np.linalg.det(affine[:3, :3])) / 1000)


def _grids(mask: Grid, scan: Grid) -> str:
    both = (f"{'x'.join(map(str, grid.shape))} voxels of {_numbers(grid.spacing)} mm" for grid in (mask, scan))
    return "it has {}, the scan {}".format(*both)


def _numbers(values: Sequence[float] | np.ndarray, digits: int = 2) -> str:
    return " x ".join(f"{round(float(value), digits) + 0.0:g}" for value in values)
