"""Sentences on preprocessing, for the methods section."""

from __future__ import annotations

from brainuad.config import templates
from brainuad.config.recipe import Quality
from brainuad.config.told import Told, between, listed, modality_in_words
from brainuad.preprocess.settings import ScanSettings

REGISTERED = {
    "nmi_search": "by maximising normalised mutual information [@studholme1999] from a grid of starts",
    "simpleitk": "with SimpleITK [@lowekamp2013]",
    "ants": "with ANTs [@avants2011]",
}
POLISHED = {"simpleitk": "SimpleITK [@lowekamp2013]", "ants": "ANTs [@avants2011]"}
TEMPLATE_BRAIN = "the template's brain mask, brought to the scan by the registration"
STRIPPED = {
    "template": f"The brain was taken from {TEMPLATE_BRAIN}.",
    "refined": f"The brain was taken from {TEMPLATE_BRAIN}, with the border moved by contrast by up to {{0:g}} mm.",
    "given": "The scans were skull-stripped already: their foreground was taken as the brain.",
    "auto": "In scans that were skull-stripped already the foreground was taken as the brain; in the others the "
    "brain was "
    f"taken from {TEMPLATE_BRAIN}, with the border moved by contrast by up to {{0:g}} mm.",
    "robex": "The brain was extracted with ROBEX [@iglesias2011].",
    "hdbet": "The brain was extracted with HD-BET [@isensee2019].",
    "synthstrip": "The brain was extracted with SynthStrip [@hoopes2022].",
}
FAILED = {
    "min_nmi": "normalised mutual information with the template under {}",
    "max_half_turn_ratio": "half-turn ratio above {}",
    "min_template_dice": "Dice of the brain mask with the template's under {}",
    "min_coverage": "share of the template's brain in the field of view under {}",
    "volume_ml": "brain volume outside {} ml",
    "max_tilt_deg": "tilt above {} degrees",
    "max_offset_mm": "offset of the midplane above {} mm",
    "check_modality": "tissue contrast that is not that of the modality",
    "max_clipped_fraction": "share of the brain at the highest value above {}",
    "max_noise_ratio": "noise above {} of the brain's intensity range",
    "max_outside_brain_fraction": "share outside the template's brain above {}",
    "max_missing_slice_fraction": "share of empty or dark slices above {}",
}
"""Limits beyond which a scan has failed, in words."""


def preprocessing(settings: ScanSettings) -> list[str]:
    """What was done to each scan, from the file to the template's grid."""
    recipe = settings.preprocess()
    told = Told(recipe)
    changing = [step for step in recipe.steps if step.changes(settings.modality)]
    return [
        *_read(settings),
        *_registered(told, settings),
        *_sequences(settings),
        *_stripped(told.skullstrip),
        *(step.describe() for step in changing),
        "Scans and masks were smoothed where that grid is coarser, and resampled linearly, once, to the template's "
        f"grid at {told.spacing:g} mm; masks were "
        "cut at "
        "one half, and scans set to 0 outside the brain.",
        *(["Each brain was moved by whole voxels to the middle of rows and columns."] if told.centre else []),
        *told.rest("steps", "quality"),
    ]


def _read(settings: ScanSettings) -> list[str]:
    told = Told(settings.reading)
    sentences = []
    if told.volume is not None:
        sentences.append(f"Of 4D files volume {told.volume} was used, counted from 0.")
    if told.complex == "magnitude":
        sentences.append("Of complex values the magnitude was used.")
    if told.intensity_offset:
        sentences.append(f"{told.intensity_offset:g} was added to every value.")
    return [*sentences, *told.rest()]


def _registered(told: Told, settings: ScanSettings) -> list[str]:
    template = templates.title(told.template) + (" [@fonov2011]" if told.template == templates.BUNDLED else "")
    registration = told.registration
    how = REGISTERED[registration.backend]
    if registration.polish != "none":
        how += f", then refined with {POLISHED[registration.polish]}"
    if settings.register_with is None:
        return [f"Scans ({modality_in_words(settings.modality)}) were registered affinely to {template} {how}."]
    return [
        f"The {settings.register_with} scan of the same session was registered affinely to {template} {how}; its "
        "transform "
        f"was applied to the {settings.modality} scan, after a rigid registration of the two where their grids differ.",
        f"Scans without a readable {settings.register_with} were registered directly, and flagged.",
    ]


def _sequences(settings: ScanSettings) -> list[str]:
    """How further sequences of a session are placed."""
    if not settings.sequences:
        return []
    names = listed([modality_in_words(each) for each in settings.sequences])
    if settings.aligned:
        how = "were taken as aligned with it by their headers"
    else:
        how = (
            "were registered to it rigidly, by normalised mutual information [@studholme1999], where their grids differ"
        )
    return [f"The other sequences of a session ({names}) {how}; they share its transform and its brain mask."]


def _stripped(skullstrip: Told) -> list[str]:
    sentences = [STRIPPED[skullstrip.backend].format(skullstrip.band_mm)]
    cut = "were cut to the mask from the template and a margin of 2 mm."
    match skullstrip.restrip:
        case "always":
            sentences.append(f"Scans that were skull-stripped already {cut}")
        case "auto":
            share = f"of which more than {100 * skullstrip.restrip_above:g} % lies outside the template's brain"
            sentences.append(f"Scans that were skull-stripped already and {share} {cut}")
    return sentences


def quality_limits(limits: Quality) -> list[str]:
    """When a scan has failed."""
    beyond = []
    for name, words in FAILED.items():
        value = getattr(limits, name)
        if value is not False:
            beyond.append(words.format(between(value) if isinstance(value, tuple) else f"{value:g}"))
    return [
        f"A scan was excluded automatically if it could not be read or registered, or for any of: {'; '.join(beyond)}.",
        "Scans beyond narrower limits were flagged and kept.",
    ]
