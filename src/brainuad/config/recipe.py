"""Recipes: how a scan becomes a normalised volume on the template's grid."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, Union

from pydantic import Field, model_validator

from brainuad.config.paths import PathText
from brainuad.config.section import Section
from brainuad.config.steps import Step, step_classes

if TYPE_CHECKING:
    AnyStep = Step
else:
    AnyStep = Annotated[Union[tuple(step_classes())], Field(discriminator="step")]  # noqa: UP007 - of a list


class Registration(Section):
    """Affine registration to the template."""

    backend: Literal["nmi_search", "simpleitk", "ants"] = "nmi_search"
    """`nmi_search`: grid of starts, then gradient ascent of normalised mutual information; the others have one start,
    under the vertex of the head, and are kept for comparison."""
    polish: Literal["none", "simpleitk", "ants"] = "none"
    """A second optimiser that starts from the first one's affine."""


class SkullStrip(Section):
    """How the brain is separated from the rest of the head."""

    backend: Literal["auto", "template", "refined", "robex", "hdbet", "synthstrip", "given"] = "auto"
    """`template`: the template's mask through the affine; `refined`: the same, its border moved by contrast; `given`:
    the scan is stripped already, its foreground is the brain. `auto`: `given` for stripped scans, else `refined`.
    `robex`, `hdbet` and `synthstrip` run these programs, which you install, the last two with weights of their own."""
    band_mm: float = Field(6.0, gt=0, le=20)
    """How far `refined` may move the border of the template's mask, inwards or outwards, in mm."""
    restrip: Literal["never", "auto", "always"] = "never"
    """Whether scans that are already stripped are cut to the `refined` mask and a margin of 2 mm; `auto`: only scans of
    which more than the fraction `restrip_above` lies outside the brain."""
    restrip_above: float = Field(0.01, ge=0, le=1)
    """Fraction of a stripped scan that lies outside the brain, for `restrip: auto`."""


UPPER = ("tilt_deg", "offset_mm", "clipped_fraction", "noise_ratio", "outside_brain_fraction")
"""Numbers with a `warn_` limit and a higher `max_` limit."""


class Quality(Section):
    """Limits of numbers in `quality.tsv`: beyond `warn_...` a scan is warned, beyond `min_...` or `max_...` failed."""

    min_nmi: float = Field(1.048, ge=1, le=2)
    """Normalised mutual information with the template; below it the registration has failed. Measured: 97 real scans in
    place 1.055 to 1.116, the same 15 mm off 1.042 at most."""
    max_half_turn_ratio: float = Field(0.6, ge=0)
    """Similarity (nmi - 1) after the best rotation by 180 degrees, divided by that before; more means that the header
    has the wrong orientation. Measured on real scans: in place 0.55 at most, misplaced 0.65 and more."""
    min_template_dice: float = Field(0.80, ge=0, le=1)
    """Dice of the brain mask with the template's; below it the skull-strip has failed."""
    warn_template_dice: float = Field(0.90, ge=0, le=1)
    """Below it a scan is warned."""
    min_coverage: float = Field(0.5, ge=0, le=1)
    """Fraction of the template's brain in the field of view below which a scan has failed."""
    warn_coverage: float = Field(0.9, ge=0, le=1)
    """Below it a scan is warned."""
    warn_rotation_deg: float = Field(45.0, ge=0, le=180)
    """Rotation to the template above which a scan is warned, in degrees."""
    volume_ml: tuple[float, float] = (700.0, 2300.0)
    """Brain volume in the scan's own space outside which the skull-strip has failed, in ml."""
    warn_scale: tuple[float, float] = (0.6, 1.3)
    """Smallest and largest scaling of the template outside which a scan is warned. Measured on 82 real scans: 0.73 to
    1.05."""
    warn_tilt_deg: float = Field(4.0, ge=0, le=90)
    """Angle between the plane of symmetry of the registered head and the template's midplane above which a scan is
    warned, in degrees. Measured: real scans 1.4 at most; phantoms rotated by 5 degrees 5.0 and more."""
    max_tilt_deg: float = Field(12.0, ge=0, le=90)
    """Angle above which the registration has failed."""
    warn_offset_mm: float = Field(4.0, ge=0)
    """Distance between these planes above which a scan is warned, in mm. Measured: real scans 1.0 at most; phantoms
    moved by 6 mm 5.5 and more."""
    max_offset_mm: float = Field(12.0, ge=0)
    """Distance above which the registration has failed."""
    check_modality: bool = True
    """Whether a scan fails whose tissue contrast is not that of its modality: in T1w white matter is brighter than grey
    matter, in T2w fluid is, and so on. Turn it off for infants, whose white matter is not yet myelinated."""
    warn_clipped_fraction: float = Field(0.05, ge=0, le=1)
    """Fraction of the brain at the scan's highest value above which a scan is warned. Measured: 81 real scans 0.00001
    at most, a T2w whose fluid was clipped 0.027."""
    max_clipped_fraction: float = Field(0.25, ge=0, le=1)
    """Fraction above which a scan has failed."""
    warn_noise_ratio: float = Field(0.25, ge=0)
    """Standard deviation of the noise, divided by the intensity range of the brain, above which a scan is warned.
    Measured: 87 real scans 0.15 at most; phantoms with noise of a fifth of that range 0.21 to 0.33."""
    max_noise_ratio: float = Field(0.5, ge=0)
    """Ratio above which a scan has failed: grey and white matter can hardly be distinguished."""
    warn_ghosting_ratio: float = Field(0.25, ge=0)
    """Structure in the air around the head, divided by the brain's median, above which an MR scan is warned because of
    motion. Measured: 8 real scans 0.03 to 0.16, phantoms in motion 0.05 to 0.19: it finds only the worst."""
    warn_outside_brain_fraction: float = Field(0.01, ge=0, le=1)
    """Fraction of a stripped scan, or of a program's brain mask, more than 6 mm outside the template's brain, above
    which a scan is warned. Measured: 27 real stripped scans 0.008 at most; one of them with eyes, neck, sinus or scalp
    0.012 to 0.11, with half the face 0.25. A rim of 6 mm all around gives 0.002: the registration fits the rim, too."""
    max_outside_brain_fraction: float = Field(0.2, ge=0, le=1)
    """Fraction above which a scan has failed."""
    max_missing_slice_fraction: float = Field(0.1, ge=0, le=1)
    """Fraction of the brain's slices that are empty or dark above which a scan has failed; with any such slice it is
    warned. Measured: none in 82 real scans."""

    @model_validator(mode="after")
    def _check_order(self) -> Quality:
        pairs = [(f"warn_{n}", f"max_{n}") for n in UPPER]
        pairs += [(f"min_{name}", f"warn_{name}") for name in ("template_dice", "coverage")]
        for lower, upper in pairs:
            low, high = getattr(self, lower), getattr(self, upper)
            if low > high:
                raise ValueError(f"{lower} is {low:g} and {upper} {high:g}: no scan would be warned before it fails")
        for name in ("volume_ml", "warn_scale"):
            low, high = getattr(self, name)
            if low >= high:
                raise ValueError(f"{name} goes from {low:g} to {high:g}: the first must be the smaller one")
        return self


class Preprocess(Section):
    """From a scan as it came to the template's grid, each scan by itself; nothing is learnt from other scans."""

    template: PathText = "mni152"
    """`mni152`, which is bundled, or the path of your own template: a T1 with the brain mask beside it
    (`<name>_mask.nii.gz`), or stripped; upright and of an adult's size. `~` and `${NAME}` are replaced."""
    spacing: float = Field(2.0, ge=0.5, le=4)
    """Voxel size of the template grid, in mm."""
    registration: Registration = Registration()
    skullstrip: SkullStrip = SkullStrip()
    steps: list[AnyStep] = []
    """Steps on the scan's own voxels, after the brain mask and before resampling to the template's grid, in the order
    in which they run: `- {step: n4, shrink: 4}`."""
    centre: bool = False
    """Move each brain by whole voxels to the middle of rows and columns; the transform includes the move."""
    quality: Quality = Quality()


class Intensity(Section):
    """Intensity scaling of brain voxels; methods that learn are fitted on the training scans of the study."""

    method: Literal["percentile", "zscore", "nyul", "histogram", "window", "white"] = "percentile"
    """`percentile`: the two percentiles go to 0 and 1; `zscore`: mean 0 and sd 1 in the mask; `nyul`: landmarks of
    the training scans (Nyul 2000); `histogram`: the mean histogram of the training scans; `window`: the recipe's
    fixed limits go to 0 and 1; `white`: T1w only, the peak of white matter goes to `white`, 0 stays 0."""
    percentiles: tuple[float, float] = (0.5, 98.0)
    """Lower and upper percentile of brain voxels, for `percentile` and as the ends of the Nyul scale."""
    window: tuple[float, float] = (-20.0, 100.0)
    """Limits of `window`, in Hounsfield units."""
    white: float = Field(0.75, gt=0, le=1)
    """Intensity of white matter under `white`; below 1, so that brighter tissue fits into the range of the networks."""
    clip: tuple[float, float] | None = (0.0, 2.0)
    """Limits to which values are clipped after scaling; the upper one leaves room for bright lesions."""
    bias_fit: Literal["none", "linear"] = "none"
    """`linear`: divide by a linear trend fitted against the mean of the training scans."""


Voxels = Annotated[int, Field(ge=1)]


class Resize(Section):
    """A coarser grid for the input of models: the volume is smoothed, then interpolated linearly."""

    shape: tuple[Voxels, Voxels, Voxels]
    """Voxels along x, y and z; they need not be cubes."""
    smooth: float = Field(0.5, ge=0)
    """Sigma of the Gaussian, as a share of the ratio of voxel sizes; 0 for no smoothing."""


class Normalize(Section):
    """From the template's grid to the input of models."""

    intensity: Intensity = Intensity()
    slices: tuple[float, float] | Voxels = (-72.0, 82.0)
    """First and last axial slice, in mm of the template's z; or the number of slices around the middle of its grid."""
    box: tuple[tuple[float, float], tuple[float, float]] | None = None
    """Left and right, back and front limits, in mm of the template's x and y; the whole grid if null."""
    shape: tuple[Voxels, Voxels] | None = None
    """Rows and columns after padding or cropping the box around its centre; those of the box if null."""
    resize: Resize | None = None
    """Resampling to a coarser grid, the last step; the template's voxels if null."""
    storage_dtype: Literal["float32", "float16", "uint8"] = "float32"
    """Type of the stored volumes. `float16` halves their size, `uint8` quarters it and needs `intensity.clip`, whose
    range it divides into 254 steps; docs/benchmarks.md has the effect on residuals."""

    @model_validator(mode="after")
    def _coding_needs_a_range(self) -> Normalize:
        if self.storage_dtype == "uint8" and self.intensity.clip is None:
            raise ValueError("storage_dtype: uint8 needs intensity.clip")
        return self


class Recipe(Section):
    """A preprocessing recipe: a file in `config/recipes/`."""

    cite: str | None = None
    """Key of the paper that the recipe follows."""
    preprocess: Preprocess = Preprocess()
    normalize: Normalize = Normalize()
