"""Skull-stripping: backends that give a brain mask on the template's grid."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage

from brainuad.config.recipe import SkullStrip
from brainuad.formats.status import Numbers
from brainuad.formats.volume import Volume
from brainuad.images import morphology
from brainuad.images.template import Template
from brainuad.preprocess.brain_mask.foreground import foreground, largest_component
from brainuad.preprocess.brain_mask.outside_brain import OutsideBrain, measure_outside_brain
from brainuad.preprocess.brain_mask.programs import PROGRAMS, Program
from brainuad.preprocess.modality import csf_is_bright, is_ct
from brainuad.preprocess.registered_scan import RegisteredScan

Mask = Bool[np.ndarray, "x y z"]
CT_BRAIN_HU = (-5.0, 95.0)
"""Fluid to clotted blood; fat lies below, bone above."""
CSF_MM = 2.0
"""Thickness of the fluid between brain and bone."""
OPENING_MM, CLOSING_MM = 3.0, 6.0
RESTRIP_MARGIN_MM = 2.0
"""Beyond the refined mask: without it 2 % of a brain are lost at its surface, measured on poor strips of one brain."""
PADDING = 8
"""Background voxels around the grid, whose border the brain may touch: closing needs them."""


def strip(registered: RegisteredScan, settings: SkullStrip, stripped: bool) -> Mask:
    """The brain mask on the template's grid, by `settings.backend`; `auto` chooses by whether the scan is stripped.

    Raises InputError if a program is asked for that is not installed, fails, or does not take the modality.
    """
    return BACKENDS[backend(settings, stripped)](registered, settings) & registered.field_of_view()


def backend(settings: SkullStrip, stripped: bool) -> str:
    """The backend by name, other than `auto`."""
    if settings.backend == "auto":
        return "given" if stripped else "refined"
    return settings.backend


def examined(
    registered: RegisteredScan, brain: Mask, settings: SkullStrip, stripped: bool, template: Template
) -> tuple[Mask, Numbers, list[str]]:
    """A brain mask that was given or made by a program, what of it lies outside the brain, and notes.

    With `settings.restrip` a given mask is cut to the surroundings of the refined one. `template`: coarse, to measure
    with.
    """
    name = backend(settings, stripped)
    if name in ("template", "refined"):  # never far from the template's
        return brain, {}, []
    found = (
        measure_outside_brain(given(registered.scan), registered.transform.matrix, template)
        if name == "given"
        else None
    )
    if found and (
        settings.restrip == "always" or (settings.restrip == "auto" and found.fraction > settings.restrip_above)
    ):
        spacing = float(np.linalg.norm(registered.template.affine[:3, 0]))
        near = morphology.dilated(refined_mask(registered, settings), _ball(RESTRIP_MARGIN_MM, spacing))
        cut = brain & near
        note = f"stripped again: {found.ml:.0f} ml ({found.fraction:.1%}) of it lay outside the brain"
        return cut, _on_grid(cut, registered, template).numbers(), [note]
    return brain, (found or _on_grid(brain, registered, template)).numbers(), []


def told_mask(registered: RegisteredScan, brain: Mask) -> Mask:
    """A brain mask that came with the scan, on its own grid, on the template's grid."""
    return registered.to_template(Volume(brain, registered.scan.affine)) & registered.field_of_view()


def outside_brain(registered: RegisteredScan, brain: Mask, template: Template) -> Numbers:
    """What of a brain mask on the template's grid lies outside the brain. `template`: coarse, to measure with."""
    return _on_grid(brain, registered, template).numbers()


def _on_grid(brain: Mask, registered: RegisteredScan, template: Template) -> OutsideBrain:
    found = measure_outside_brain(Volume(brain, registered.template.affine), np.eye(4), template)
    return replace(found, ml=found.ml * abs(float(np.linalg.det(registered.transform.matrix[:3, :3]))))


def template_mask(registered: RegisteredScan, _: SkullStrip) -> Mask:
    """The template's own mask, as accurate as an affine allows."""
    return registered.template.brain.copy()


def refined_mask(registered: RegisteredScan, settings: SkullStrip) -> Mask:
    """The template's mask, its border moved to where tissue ends, at most `settings.band_mm` in or out."""
    template = registered.template
    spacing = float(np.linalg.norm(template.affine[:3, 0]))
    inner, outer = template.inside_mm > settings.band_mm, template.outside_mm <= settings.band_mm

    def opened(tissue: Mask) -> Mask:
        mask = morphology.opened((tissue & outer) | inner, _ball(OPENING_MM, spacing))
        return largest_component(mask | inner)

    image = registered.image
    dark, typical = np.percentile(image[outer & ~inner], 5), np.median(image[inner])
    if is_ct(registered.modality):
        tissue = _ct_tissue(image)
    elif csf_is_bright(registered.modality):  # bone ends the cavity, and fluid is its outermost part
        cavity = opened(image > dark + 0.55 * (typical - dark)) | ~registered.field_of_view()
        tissue = ndimage.distance_transform_edt(cavity) * spacing > CSF_MM
    else:
        no_fat = template.brain | (image < typical + 0.5 * (typical - dark))
        tissue = (image > dark + 0.4 * (typical - dark)) & no_fat
    closed = morphology.closed(np.pad(opened(tissue), PADDING), _ball(CLOSING_MM, spacing))
    inside = closed[PADDING:-PADDING, PADDING:-PADDING, PADDING:-PADDING]
    return np.asarray(ndimage.binary_fill_holes(inside) & outer)


def given_mask(registered: RegisteredScan, _: SkullStrip) -> Mask:
    """A stripped scan's own mask: its foreground, holes filled."""
    return registered.to_template(given(registered.scan))


def given(scan: Volume) -> Volume:
    """The foreground of a stripped scan, holes filled."""
    return Volume(ndimage.binary_fill_holes(foreground(scan)), scan.affine)


def _ct_tissue(image: Float[np.ndarray, "x y z"]) -> Mask:
    low, high = CT_BRAIN_HU
    # a scan that was clipped to a window before has bone at its maximum
    return np.asarray((image > low) & (image < min(high, 0.99 * image.max())))


def _ball(radius_mm: float, spacing: float) -> Mask:
    """A ball of this radius, at least one voxel, and a little more than `skimage.morphology.ball`: rounder if small."""
    n = max(1, round(radius_mm / spacing))
    offsets = np.mgrid[-n : n + 1, -n : n + 1, -n : n + 1]
    return np.asarray((offsets**2).sum(axis=0) <= (n + 0.3) ** 2)


def _by_program(program: Program) -> Callable[[RegisteredScan, SkullStrip], Mask]:
    """A backend that runs a program on the scan as it came."""

    def by_program(registered: RegisteredScan, _: SkullStrip) -> Mask:
        return registered.to_template(program.run(registered.scan, registered.modality))

    return by_program


BACKENDS: dict[str, Callable[[RegisteredScan, SkullStrip], Mask]] = {
    "template": template_mask,
    "refined": refined_mask,
    "given": given_mask,
    **{name: _by_program(program) for name, program in PROGRAMS.items()},
}
