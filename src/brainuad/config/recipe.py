"""A recipe: how a scan becomes a normalised volume on the template grid."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from brainuad.config.section import Section


class Registration(Section):
    """Affine registration to the template."""

    backend: Literal["nmi_search", "simpleitk", "ants"] = "nmi_search"
    """`nmi_search`: grid of starts, then gradient ascent of normalised mutual information; the others have one start,
    under the vertex of the head, and are kept for comparison."""
    polish: Literal["none", "simpleitk", "ants"] = "none"
    """A second optimiser that starts from the first one's affine."""


class SkullStrip(Section):
    """How the brain is told from the rest of the head."""

    backend: Literal["auto", "template", "refined", "robex", "hdbet", "synthstrip", "given"] = "auto"
    """`template`: the template's mask through the affine; `refined`: the same, its border moved by contrast; `given`:
    the scan is stripped already, every non-zero voxel is brain. `auto`: `given` for stripped input, else `refined`.
    `robex`, `hdbet` and `synthstrip` run these programs, which you install, the last two with weights of their own."""
    band: float = Field(6.0, gt=0, le=20)
    """Reach of the refinement on either side of the template's border, in mm."""


class N4(Section):
    """N4 bias field correction inside the brain mask (Tustison 2010)."""

    shrink: int = Field(4, ge=1)
    """Factor by which the scan is reduced while the field is fitted."""
    iterations: list[int] = [50, 50, 30]
    """Iterations per resolution level."""


class CurvatureFlow(Section):
    """Edge-preserving denoising; the defaults are those of the Baur group's later code (models.md 1.4)."""

    time_step: float = Field(0.125, gt=0)
    """Step of the partial differential equation."""
    iterations: int = Field(3, ge=1)
    """Number of steps."""


class Quality(Section):
    """Limits beyond which a subject is refused or marked."""

    min_similarity: float = Field(1.048, ge=1, le=2)
    """Normalised mutual information with the template under which a registration has failed. Measured: 97 real scans
    in place 1.055 to 1.116, the same 15 mm off 1.042 at most."""
    max_turned: float = Field(0.6, ge=0)
    """Share of the similarity (above 1) that a scan may keep when turned by 180 degrees; more means that the head does
    not lie as its header says. Measured on real scans: in place 0.55 at most, misplaced 0.65 and more."""
    min_overlap: float = Field(0.80, ge=0, le=1)
    """Dice of the brain mask with the template's under which the strip has failed."""
    usual_overlap: float = Field(0.90, ge=0, le=1)
    """Dice under which a subject is marked."""
    min_coverage: float = Field(0.5, ge=0, le=1)
    """Share of the template's brain in the field of view under which a scan is refused."""
    usual_coverage: float = Field(0.9, ge=0, le=1)
    """Share under which a subject is marked."""
    usual_turn: float = Field(45.0, ge=0, le=180)
    """Rotation to the template above which a subject is marked, in degrees."""
    volume_ml: tuple[float, float] = (700.0, 2300.0)
    """Brain volume in the scan's own space outside which the strip has failed, in ml."""
    usual_scale: tuple[float, float] = (0.6, 1.3)
    """Least and largest stretch of the template beyond which a subject is marked. Measured on 82 real scans: 0.73 to
    1.05."""
    usual_lean: float = Field(4.0, ge=0, le=90)
    """Angle between the registered head's own plane of symmetry and the template's above which a subject is marked, in
    degrees. Measured: real scans 1.4 at most; phantoms turned off by 5 degrees 5.0 and more."""
    max_lean: float = Field(12.0, ge=0, le=90)
    """Angle above which the registration has failed."""
    usual_offset: float = Field(4.0, ge=0)
    """Distance between these planes above which a subject is marked, in mm. Measured: real scans 1.0 at most; phantoms
    moved off by 6 mm 5.5 and more."""
    max_offset: float = Field(12.0, ge=0)
    """Distance above which the registration has failed."""
    check_modality: bool = True
    """Whether a scan fails whose tissues differ in another way than its modality says: in T1w white matter is brighter
    than grey, in T2w fluid is, and so on. Turn it off for infants, whose white matter is not yet myelinated."""
    usual_clipped: float = Field(0.05, ge=0, le=1)
    """Share of the brain at the scan's highest value above which a subject is marked. Measured: 81 real scans 0.00001
    at most, a T2w whose fluid was clipped 0.027."""
    max_clipped: float = Field(0.25, ge=0, le=1)
    """Share above which a scan is refused."""
    usual_noise: float = Field(0.25, ge=0)
    """Noise, as a share of the range of the brain's tissues, above which a subject is marked. Measured: 87 real
    scans 0.15 at most; phantoms with noise of a fifth of that range 0.21 to 0.33."""
    max_noise: float = Field(0.5, ge=0)
    """Noise above which a scan is refused: grey and white matter can hardly be told apart."""
    usual_ghosts: float = Field(0.25, ge=0)
    """Structure in the air around the head, as a share of the brain's median, above which a subject of magnetic
    resonance is marked as moved. Measured: 8 real scans 0.03 to 0.16, phantoms in motion 0.05 to 0.19: it finds
    the worst alone."""
    max_missing: float = Field(0.1, ge=0, le=1)
    """Share of the brain's slices that may be empty or dark; more refuses a scan, fewer, but any, mark it. Measured:
    none in 82 real scans."""

    @model_validator(mode="after")
    def _marks_before_it_refuses(self) -> Quality:
        ends = [(f"usual_{name}", f"max_{name}") for name in ("lean", "offset", "clipped", "noise")]
        ends += [(f"min_{name}", f"usual_{name}") for name in ("overlap", "coverage")]
        for lower, upper in ends:
            low, high = getattr(self, lower), getattr(self, upper)
            if low > high:
                raise ValueError(
                    f"{lower} is {low:g} and {upper} {high:g}: no scan would be marked before it is refused"
                )
        for name in ("volume_ml", "usual_scale"):
            low, high = getattr(self, name)
            if low >= high:
                raise ValueError(f"{name} goes from {low:g} to {high:g}: the first must be the smaller one")
        return self


class Preprocess(Section):
    """From a scan as it came to the template grid, one subject at a time; nothing is learnt from other subjects."""

    template: str = "mni152"
    """`mni152`, which is bundled, or the path of your own template: a T1 with the brain mask beside it
    (`<name>_mask.nii.gz`), or stripped; upright and of an adult's size. `${NAME}` is replaced by the environment
    variable."""
    spacing: float = Field(2.0, ge=0.5, le=4)
    """Voxel size of the template grid, in mm."""
    registration: Registration = Registration()
    skullstrip: SkullStrip = SkullStrip()
    n4: N4 | None = None
    curvature_flow: CurvatureFlow | None = None
    window: tuple[float, float] | None = None
    """CT only: Hounsfield units kept."""
    centre: bool = False
    """Move each brain by whole voxels until it lies in the middle of rows and columns; the transform holds the move."""
    quality: Quality = Quality()


class Intensity(Section):
    """How brain voxels are scaled; what learns from subjects is fitted on the study's training subjects."""

    method: Literal["percentile", "zscore", "nyul", "histogram", "window", "white"] = "percentile"
    """`percentile`: the two percentiles go to 0 and 1; `zscore`: mean 0 and sd 1 in the mask; `nyul`: landmarks of
    the training subjects (Nyul 2000); `histogram`: the training subjects' mean histogram; `window`: the recipe's
    fixed limits to 0 and 1; `white`: T1w only, the peak of white matter goes to `white`, 0 stays."""
    percentiles: tuple[float, float] = (0.5, 98.0)
    """Lower and upper percentile of brain voxels, for `percentile` and as the ends of the Nyul scale."""
    window: tuple[float, float] = (-20.0, 100.0)
    """Limits of `window`, in Hounsfield units."""
    white: float = Field(0.75, gt=0, le=1)
    """Where `white` puts white matter; what is brighter needs room below the networks' 1."""
    clip: tuple[float, float] | None = (0.0, 2.0)
    """Values outside are cut off after scaling; the upper one leaves room for bright lesions."""
    bias_fit: Literal["none", "linear"] = "none"
    """`linear`: divide by a linear trend fitted against the mean of the training subjects."""


Voxels = Annotated[int, Field(ge=1)]


class Resize(Section):
    """A coarser grid for the volumes that models see: smoothed, then interpolated linearly."""

    shape: tuple[Voxels, Voxels, Voxels]
    """Voxels along x, y and z; they need not stay cubes."""
    smooth: float = Field(0.5, ge=0)
    """Sigma of the Gaussian before it, as a share of the ratio of voxel sizes; 0 for none."""


class Normalize(Section):
    """From the template grid to the volumes that models see."""

    intensity: Intensity = Intensity()
    slices: tuple[float, float] | Voxels = (-72.0, 82.0)
    """First and last axial level kept, in mm of the template's z, or how many around the middle of its grid."""
    box: tuple[tuple[float, float], tuple[float, float]] | None = None
    """Left and right, back and front end of what is kept, in mm of the template's x and y; everything if none."""
    shape: tuple[Voxels, Voxels] | None = None
    """Rows and columns after padding or cropping that box around its middle; the box's own if none."""
    resize: Resize | None = None
    """Last step; none keeps the template's voxels."""
    storage_dtype: Literal["float32", "float16", "uint8"] = "float32"
    """How volumes lie on disk. `float16` halves them, `uint8` quarters them and needs `intensity.clip`, whose range it
    divides into 254 steps; docs/benchmarks.md says what that does to residuals."""

    @model_validator(mode="after")
    def _steps_need_a_range(self) -> Normalize:
        if self.storage_dtype == "uint8" and self.intensity.clip is None:
            raise ValueError("storage_dtype: uint8 needs intensity.clip")
        return self


class Recipe(Section):
    """A preprocessing recipe: a file in `config/recipes/`."""

    cite: str | None = None
    """Key of the paper that the recipe follows."""
    preprocess: Preprocess = Preprocess()
    normalize: Normalize = Normalize()
