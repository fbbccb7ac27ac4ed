"""What is asked of one scan, and all that a model file gives of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from brainuad.config.reading import Reading
from brainuad.formats.status import Numbers, SequenceStatus
from brainuad.formats.transform import Affine
from brainuad.formats.volume import Volume
from brainuad.images.native import to_native
from brainuad.predict.findings import Finding, Places
from brainuad.predict.inputs import label_of
from brainuad.predict.record import ModelName

Image = Float[np.ndarray, "x y z"]
Mask = Bool[np.ndarray, "x y z"]


@dataclass(frozen=True)
class Given:
    """What the user says of a scan; None: decided from the scan or the model."""

    modality: str | None = None
    """BIDS suffix."""
    stripped: bool | None = None
    """Whether it is skull-stripped."""
    registered: bool = False
    """Whether it lies in the template's space already, so that it is not registered."""
    brain: Path | None = None
    """The brain mask, on the scan's grid, in place of skull stripping."""
    volume: int | None = None
    """Which volume of a 4D file it is, from 0; a file with several is refused if None."""
    magnitude: bool = False
    """Whether to take the magnitude of complex values, which are refused otherwise."""
    intensity_offset: float = 0.0
    """Added to every value, such as -1024 for CT whose rescale intercept was not applied."""

    @property
    def reading(self) -> Reading:
        """How the file is read."""
        return Reading(
            volume=self.volume,
            complex="magnitude" if self.magnitude else "refuse",
            intensity_offset=self.intensity_offset,
            stripped=self.stripped,
        )


@dataclass(frozen=True)
class Options:
    """What is made of a scan."""

    given: Given = Given()
    thresholds: Sequence[str] | None = None
    """Labels of rules of the model file, or `fixed:<value>`; None: all of the file's."""


@dataclass(frozen=True)
class FurtherSequence:
    """A further sequence of a session. `scan`: as it was read; `file`: its name.

    `image`: on the template's grid before intensity scaling, 0 outside the brain; `transform`: template world to its
    own world (mm); `told`: its quality numbers, and what was decided.
    """

    scan: Volume
    file: str
    image: Image
    transform: Affine
    told: SequenceStatus


@dataclass(frozen=True)
class Prepared:
    """A scan on the template's grid. `image`: before intensity scaling, 0 outside `brain`; `affine`: of that grid.

    `transform`: template world to scan world (mm); `quality`: quality numbers; `failed`: why the scan is not to be
    used; `reasons`: why a person should look at it, empty for a good one, with the `remedy`; `notes`: what was
    converted or decided; `content`: hash of the voxels as they were read; `further`: other sequences of its session
    that are there, by modality; `missing`: those that the model takes and that are not; `refused`: why one that is
    there is not to be used, by modality.
    """

    image: Image
    brain: Mask
    affine: Float[np.ndarray, "4 4"]
    transform: Affine
    stripped: bool
    quality: Numbers
    failed: list[str]
    reasons: list[str]
    remedy: str
    notes: list[str]
    content: str
    further: Mapping[str, FurtherSequence] = field(default_factory=dict)
    missing: Sequence[str] = ()
    refused: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class OwnGrid:
    """Map, masks (by threshold) and brain mask on the voxels of the scan's file, in its order of axes."""

    affine: Float[np.ndarray, "4 4"]
    anomaly: Image
    masks: dict[str, Mask]
    brain: Mask


@dataclass(frozen=True, eq=False, repr=False)
class Found:
    """All of one scan. Maps and masks lie on the models' grid (`affine`: voxel index to the template's mm)."""

    scan: Volume
    """As it was read: its own voxels, axes to the right, front and top."""
    prepared: Prepared
    image: Image
    """Scaled intensities, which the model sees; of several sequences the first."""
    brain: Mask
    anomaly: Image
    """Higher is more abnormal, 0 outside the brain."""
    reconstruction: Image | None
    processed: Image
    """The anomaly map after the map operators, which thresholds apply to; `anomaly` itself where there is none."""
    masks: dict[str, Mask]
    """By threshold."""
    thresholds: dict[str, float]
    """Values behind `masks`, in units of `processed`."""
    affine: Float[np.ndarray, "4 4"]
    score: float
    """Of the whole scan."""
    p_healthy: float
    """Conformal: at most a share p of healthy people, on average, reach such a p; NaN without healthy scans."""
    p_smallest: float
    """What the number of healthy people behind it allows; NaN without any."""
    doubts: list[str] = field(default_factory=list)
    """Why the scan is unlike those that the model knows; empty if it is alike."""
    distances: dict[str, float] = field(default_factory=dict)
    """From the healthy scans of the study, by measure (`brainuad.predict.likeness`)."""
    shape: tuple[int, int, int] = (0, 0, 0)
    """Of the scan's file, in its order of axes."""
    own_affine: Float[np.ndarray, "4 4"] = field(default_factory=lambda: np.eye(4))
    """Of the scan's file."""
    from_mni: Float[np.ndarray, "4 4"] = field(default_factory=lambda: np.eye(4))
    """MNI mm to the template's mm."""
    file: str = ""
    """Name of the scan's file; `scan.nii` for an image that was given."""
    model: ModelName = field(default_factory=lambda: ModelName(name="", study="", label="", sha256=""))
    files: dict[str, str] = field(default_factory=dict)
    """Of a session with several sequences: the names of all files by modality, `file` first."""

    def __repr__(self) -> str:
        return f"Found(score={self.score:.4g}, p_healthy={self.p_healthy:.3g}, doubts={self.doubts})"

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Voxel size of the models' grid, in mm."""
        x, y, z = Volume(self.anomaly, self.affine).spacing
        return float(x), float(y), float(z)

    @property
    def label(self) -> str:
        """`sub-01_ses-2`, by the name of the scan's file."""
        return label_of(Path(self.file or "scan"))

    @property
    def threshold(self) -> str:
        """The label of the threshold behind `findings`: the first of `thresholds`; empty without any."""
        return next(iter(self.thresholds), "")

    @property
    def places(self) -> Places:
        """Affines of the models' grid."""
        in_mni = np.linalg.inv(self.from_mni) @ self.affine
        return Places(self.affine, in_mni, self.prepared.transform.matrix @ self.affine)

    def findings(self, threshold: str | None = None) -> list[Finding]:
        """The components of the mask of a threshold, highest peak first; by default of the first of `thresholds`."""
        from brainuad.predict.describe import findings_of  # late: it imports this module

        return findings_of(self, threshold)

    def show(self) -> Path | None:
        """Open the viewer of the scan in the notebook, else in a browser; the path of its page in the second case."""
        from brainuad.predict.describe import show

        return show(self)

    def _repr_html_(self) -> str:
        from brainuad.predict.describe import in_notebook

        return in_notebook(self)

    @cached_property
    def own(self) -> OwnGrid:
        """Everything on the scan's own grid, made on first use."""
        matrix, at = self.prepared.transform.matrix, (self.shape, self.own_affine)
        masks = {name: to_native(mask, self.affine, *at, matrix) for name, mask in self.masks.items()}
        brain = to_native(self.prepared.brain, self.prepared.affine, *at, matrix)
        return OwnGrid(self.own_affine, to_native(self.anomaly, self.affine, *at, matrix), masks, brain)
