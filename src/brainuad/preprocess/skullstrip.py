"""Telling the brain from the rest of the head: backends that give a mask on the template's grid.

Every mask also exists in the scan's own space, by `to_scan`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage

from brainuad.config.recipe import SkullStrip
from brainuad.formats.status import fluid_bright
from brainuad.formats.transform import Affine
from brainuad.formats.volume import Volume
from brainuad.images.resample import resample, resample_mask
from brainuad.images.template import Template
from brainuad.preprocess.head import foreground_of, largest
from brainuad.preprocess.programs import PROGRAMS, Program

Mask = Bool[np.ndarray, "x y z"]
CT_BRAIN = (-5.0, 95.0)
"""Hounsfield units: fluid to clotted blood; fat lies below, bone above."""
FLUID = 2.0
"""mm of fluid between the brain and the bone."""


@dataclass(frozen=True)
class RegisteredScan:
    """A scan with its registration. `image`: the scan on the template's grid, unmasked."""

    scan: Volume
    transform: Affine
    template: Template
    image: Float[np.ndarray, "x y z"]
    modality: str


def strip(registered: RegisteredScan, settings: SkullStrip, stripped: bool) -> Mask:
    """The brain mask on the template's grid, by `settings.backend`; `auto` picks by input.

    Raises InputError if a program is asked for that is not installed, fails, or does not take the modality.
    """
    name = settings.backend
    if name == "auto":
        name = "given" if stripped else "refined"
    return BACKENDS[name](registered, settings) & field_of_view(registered)


def to_scan(mask: Mask, scan: Volume, transform: Affine, template: Template) -> Mask:
    """A mask on the template's grid, carried to the scan's own voxels."""
    inverse = transform.inverse().matrix
    shape = scan.data.shape
    return resample_mask(mask, template.affine, (shape[0], shape[1], shape[2]), scan.affine, inverse)


def to_template(mask: Mask, scan: Volume, transform: Affine, template: Template) -> Mask:
    """A mask in the scan's voxels, carried to the template's grid."""
    return resample_mask(mask, scan.affine, shape_of(template), template.affine, transform.matrix)


def shape_of(template: Template) -> tuple[int, int, int]:
    """The template's grid."""
    x, y, z = template.brain.shape
    return x, y, z


def field_of_view(registered: RegisteredScan) -> Mask:
    """Template voxels that the scan covers."""
    x, y, z = registered.scan.data.shape
    index = np.linalg.inv(registered.scan.affine) @ registered.transform.matrix @ registered.template.affine
    inside = np.ones(shape_of(registered.template), dtype=bool)
    i, j, k = (np.arange(n) for n in shape_of(registered.template))
    for axis, n in enumerate((x, y, z)):
        a, b, c, d = index[axis]
        where = (a * i)[:, None, None] + (b * j)[None, :, None] + (c * k + d)[None, None, :]
        inside &= (where >= -0.5) & (where <= n - 0.5)
    return inside


def from_template(registered: RegisteredScan, _: SkullStrip) -> Mask:
    """The template's own mask: right as far as an affine goes."""
    return registered.template.brain.copy()


def refined(registered: RegisteredScan, settings: SkullStrip) -> Mask:
    """The template's mask, its border moved to where tissue ends, at most `settings.band` mm in or out."""
    template, image = registered.template, registered.image
    spacing = float(np.linalg.norm(template.affine[:3, 0]))
    inner = ndimage.distance_transform_edt(template.brain) * spacing > settings.band
    outer = ndimage.distance_transform_edt(~template.brain) * spacing <= settings.band

    def one_piece(tissue: Mask) -> Mask:
        return largest(ndimage.binary_opening((tissue & outer) | inner, _ball(3.0, spacing)) | inner)

    dark, usual = np.percentile(image[outer & ~inner], 5), np.median(image[inner])
    kind = registered.modality.lower()
    if kind == "ct":
        low, high = CT_BRAIN
        tissue = (image > low) & (image < min(high, 0.99 * image.max()))  # a scan windowed before has bone at its top
    elif fluid_bright(kind):  # fluid shines like tissue, so bone is what ends the cavity, and fluid its outermost part
        cavity = one_piece(image > dark + 0.55 * (usual - dark)) | ~field_of_view(registered)
        tissue = ndimage.distance_transform_edt(cavity) * spacing > FLUID
    else:
        bright = template.brain | (image < usual + 0.5 * (usual - dark))  # no growth into fat
        tissue = (image > dark + 0.4 * (usual - dark)) & bright
    mask = ndimage.binary_closing(np.pad(one_piece(tissue), 8), _ball(6.0, spacing))[8:-8, 8:-8, 8:-8]
    return np.asarray(ndimage.binary_fill_holes(mask) & outer)


def given(registered: RegisteredScan, _: SkullStrip) -> Mask:
    """A stripped scan's own mask: all that differs from its background, holes filled."""
    inside = ndimage.binary_fill_holes(foreground_of(registered.scan))
    return to_template(inside, registered.scan, registered.transform, registered.template)


def _by(program: Program) -> Callable[[RegisteredScan, SkullStrip], Mask]:
    """A backend that runs a program on the scan as it came."""

    def backend(registered: RegisteredScan, _: SkullStrip) -> Mask:
        found = program.run(registered.scan, registered.modality)
        return to_template(found.data, found, registered.transform, registered.template)

    return backend


BACKENDS: dict[str, Callable[[RegisteredScan, SkullStrip], Mask]] = {
    "template": from_template,
    "refined": refined,
    "given": given,
    **{name: _by(program) for name, program in PROGRAMS.items()},
}


def place(scan: Volume, transform: Affine, template: Template, modality: str) -> RegisteredScan:
    """Resample a scan to the template's grid; outside its field of view it takes its lowest value."""
    fill = float(scan.data.min())
    image = resample(scan.data, scan.affine, shape_of(template), template.affine, transform.matrix, fill=fill)
    return RegisteredScan(scan, transform, template, image, modality)


def _ball(radius: float, spacing: float) -> Mask:
    """A ball of `radius` mm; at least one voxel to every side."""
    n = max(1, round(radius / spacing))
    offsets = np.mgrid[-n : n + 1, -n : n + 1, -n : n + 1]
    return np.asarray((offsets**2).sum(axis=0) <= (n + 0.3) ** 2)
