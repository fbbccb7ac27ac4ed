"""Preprocessing of one scan, as arrays: what is done, in this order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Bool, Float

from brainuad.config.recipe import Preprocess
from brainuad.config.steps import Step
from brainuad.errors import InputError
from brainuad.formats.status import Numbers
from brainuad.formats.transform import Affine
from brainuad.formats.volume import Volume
from brainuad.images.resample import resample
from brainuad.images.template import load
from brainuad.preprocess.brain_mask import stripped as skull
from brainuad.preprocess.brain_mask.skullstrip import examined, outside_brain, strip, told_mask
from brainuad.preprocess.centre import shift_to_middle, shifted, shifted_masks, shifted_transform
from brainuad.preprocess.modality import is_ct
from brainuad.preprocess.quality.appearance import value_notes
from brainuad.preprocess.quality.hounsfield import in_hounsfield_units
from brainuad.preprocess.quality.measure import measure, shear_deg
from brainuad.preprocess.registered_scan import RegisteredScan, grid_shape, resample_to_template
from brainuad.preprocess.registration.input import RegistrationInput, registration_input
from brainuad.preprocess.registration.register import register

Image = Float[np.ndarray, "x y z"]
Mask = Bool[np.ndarray, "x y z"]
REGISTRATION_SPACING_MM = 2.0
"""Voxel size of the template that scans are registered to, whatever the grid of the result."""
NOTED_SHEAR_DEG = 1.0
"""Less is rounding of a header."""


@dataclass(frozen=True)
class Reference:
    """Another scan of the same session, which is registered to the template in place of the scan itself."""

    volume: Volume
    modality: str


@dataclass(frozen=True)
class Told:
    """What is known of a scan beforehand; what is None is found.

    `stripped`: whether the scan and the reference are; `placed`: template world to scan world, in place of a
    registration; `brain`: the brain mask on the scan's own grid, in place of skull stripping.
    """

    stripped: bool | None = None
    placed: Affine | None = None
    brain: Mask | None = None


@dataclass(frozen=True)
class PreprocessedScan:
    """A scan on the template's grid. `image`: float32, 0 outside `brain`; `masks`: by name; `notes`: decisions.

    `before_centring`: template world to scan world, where `registered` has the transform after the move of `centre`.
    """

    image: Image
    brain: Mask
    masks: dict[str, Mask]
    registered: RegisteredScan
    quality: Numbers
    stripped: bool
    notes: list[str] = field(default_factory=list)
    before_centring: Affine | None = None


def preprocess_volume(
    scan: Volume,
    modality: str,
    settings: Preprocess,
    masks: Mapping[str, Mask] | None = None,
    reference: Reference | None = None,
    told: Told | None = None,
) -> PreprocessedScan:
    """Units of CT, registration, brain mask, quality numbers, the recipe's steps, template grid, centring.

    `masks`: by name, on the scan's own grid. Raises InputError if CT is not in Hounsfield units, and if no head or no
    brain is found.
    """
    from brainuad.preprocess.registration.nmi_search import nmi_and_half_turn_ratio

    template = load(settings.template, settings.spacing)
    coarse_template = load(settings.template, REGISTRATION_SPACING_MM)
    told = told or Told()
    head = examined_head(scan, modality, told)
    scan = head.scan

    moving = registration_input(scan, modality, head.stripped, coarse_template)
    if told.placed is not None:
        transform = told.placed
    elif reference is None:
        transform = register(moving, coarse_template, settings.registration)
    else:
        transform = _register_with(reference, told.stripped, scan, moving, settings)
    nmi, half_turn_ratio = nmi_and_half_turn_ratio(moving, coarse_template, transform.matrix)
    registered = resample_to_template(scan, transform, template, modality)

    brain = (
        strip(registered, settings.skullstrip, head.stripped)
        if told.brain is None
        else told_mask(registered, told.brain)
    )
    if not brain.any():
        what = f"the brain mask is empty (0 of {brain.size:,} voxels)"
        raise InputError(
            what, why="no head was found where the header says it is", do="look at the scan and its header"
        )
    if told.brain is None:
        brain, outside, notes = examined(registered, brain, settings.skullstrip, head.stripped, coarse_template)
        brain_in_scan = registered.to_scan(brain)
    else:
        outside, notes, brain_in_scan = outside_brain(registered, brain, coarse_template), [], told.brain

    quality = {"nmi": nmi, "half_turn_ratio": half_turn_ratio, **outside, **measure(registered, brain, brain_in_scan)}
    image = np.where(brain, apply_steps(registered, brain_in_scan, settings.steps), 0).astype(np.float32)
    on_grid = {name: registered.to_template(Volume(mask, scan.affine)) for name, mask in (masks or {}).items()}
    result = PreprocessedScan(image, brain, on_grid, registered, quality, head.stripped, [*head.notes, *notes])
    return centre(result) if settings.centre else result


def examined_head(scan: Volume, modality: str, told: Told) -> skull.Decision:
    """Units, and whether the scan is skull-stripped, before it is registered; it is cut to the brain mask, if told."""
    checked, notes = in_hounsfield_units(scan) if is_ct(modality) else (scan, value_notes(scan))
    if told.brain is None:
        decision = skull.decide(checked, modality, told.stripped)
    else:
        cut = np.where(told.brain, checked.data, checked.data.min())
        decision = skull.Decision(Volume(cut, checked.affine), True)
    if (shear := shear_deg(scan)) > NOTED_SHEAR_DEG:
        notes.append(f"its header has a shear of {shear:.0f} degrees, as of a tilted gantry; it is placed by it")
    return replace(decision, notes=[*notes, *decision.notes])


def _register_with(
    reference: Reference, stripped: bool | None, scan: Volume, moving: RegistrationInput, settings: Preprocess
) -> Affine:
    """The reference scan is registered to the template, then the scan to it, rigidly."""
    from brainuad.preprocess.registration.same_session import register_in_session

    template = load(settings.template, REGISTRATION_SPACING_MM)
    try:
        head = examined_head(reference.volume, reference.modality, Told(stripped))
    except InputError as error:
        what = f"the {reference.modality} that it is registered with: {error.what}"
        raise InputError(what, file=error.file, why=error.why, do=error.do) from None
    reference_input = registration_input(head.scan, reference.modality, head.stripped, template)
    affine = register(reference_input, template, settings.registration)
    return Affine(register_in_session(head.scan, scan, reference_input, moving) @ affine.matrix)


def apply_steps(registered: RegisteredScan, brain_in_scan: Mask, steps: Sequence[Step]) -> Image:
    """The scan on the template's grid after the steps of the recipe, which run in their order on its own voxels."""
    if not steps:
        return registered.image
    scan, template = registered.scan, registered.template
    data = scan.data
    for step in steps:
        if step.changes(registered.modality):
            data = step.apply(data, brain_in_scan, scan.spacing)
    return resample(data, scan.affine, grid_shape(template), template.affine, registered.transform.matrix)


def centre(result: PreprocessedScan) -> PreprocessedScan:
    """The brain in the middle of the grid's rows and columns; the transform includes the move.

    Source: Paolini et al., who centre each patient with the lesion masks.
    """
    registered, shift = result.registered, shift_to_middle(result.brain)
    whole_image = shifted(registered.image, shift, float(registered.image.min()))
    transform = shifted_transform(registered.transform, shift, registered.template.affine)
    return replace(
        result,
        image=shifted(result.image, shift),
        brain=shifted(result.brain, shift),
        masks=shifted_masks(result.masks, shift),
        registered=replace(registered, image=whole_image, transform=transform),
        before_centring=registered.transform,
    )
