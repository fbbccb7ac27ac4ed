"""A recipe: how a scan becomes a normalised volume on the template grid."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from brainuad.config.section import Section


class Registration(Section):
    """Affine registration to the MNI152 template."""

    backend: Literal["nmi_search", "simpleitk", "ants"] = "nmi_search"
    """`nmi_search`: grid of starts, then gradient ascent of normalised mutual information; the others have one start,
    under the vertex of the head, and are kept for comparison."""
    polish: Literal["none", "simpleitk", "ants"] = "none"
    """A second optimiser that starts from the first one's affine."""


class SkullStrip(Section):
    """How the brain is told from the rest of the head."""

    backend: Literal["auto", "template", "refined", "robex", "given"] = "auto"
    """`template`: the template's mask through the affine; `refined`: the same, its border moved by contrast; `robex`:
    the ROBEX program, if installed; `given`: the scan is stripped already, every non-zero voxel is brain. `auto`:
    `given` for stripped input, else `refined`."""
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


class Preprocess(Section):
    """From a scan as it came to the template grid, one subject at a time; nothing is learnt from other subjects."""

    spacing: float = Field(2.0, ge=0.5, le=4)
    """Voxel size of the template grid, in mm."""
    registration: Registration = Registration()
    skullstrip: SkullStrip = SkullStrip()
    n4: N4 | None = None
    curvature_flow: CurvatureFlow | None = None
    window: tuple[float, float] | None = None
    """CT only: Hounsfield units kept."""
    quality: Quality = Quality()


class Intensity(Section):
    """How brain voxels are scaled; what learns from subjects is fitted on the study's training subjects."""

    kind: Literal["percentile", "zscore", "nyul", "histogram", "window"] = "percentile"
    """`percentile`: the two percentiles go to 0 and 1; `zscore`: mean 0 and sd 1 in the mask; `nyul`: landmarks of
    the training subjects (Nyul 2000); `histogram`: the training subjects' mean histogram; `window`: the recipe's
    fixed limits to 0 and 1."""
    percentiles: tuple[float, float] = (0.5, 98.0)
    """Lower and upper percentile of brain voxels, for `percentile` and as the ends of the Nyul scale."""
    window: tuple[float, float] = (-20.0, 100.0)
    """Limits of `window`, in Hounsfield units."""
    clip: tuple[float, float] | None = (0.0, 2.0)
    """Values outside are cut off after scaling; the upper one leaves room for bright lesions."""
    bias_fit: Literal["none", "linear"] = "none"
    """`linear`: divide by a linear trend fitted against the mean of the training subjects."""


class Normalize(Section):
    """From the template grid to the volumes that models see."""

    intensity: Intensity = Intensity()
    slices: tuple[float, float] = (-72.0, 82.0)
    """First and last axial level kept, in mm of MNI z."""
    shape: tuple[int, int] | None = None
    """Rows and columns after centred padding or cropping; the template's own if none."""


class Recipe(Section):
    """A preprocessing recipe: a file in `config/recipes/`."""

    cite: str | None = None
    """Key of the paper that the recipe follows."""
    preprocess: Preprocess = Preprocess()
    normalize: Normalize = Normalize()
