"""An atlas of healthy scans at several scales and of the difference between left and right, with z-scores against it.

Statistics are gathered scan by scan, so that memory does not grow with their number, and a training scan can be taken
out of them again. The grid must be symmetric about the midline, as those of the pipeline's templates are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from pydantic import Field

from brainuad.config.section import Section
from brainuad.errors import InputError
from brainuad.methods.base import Brain, Image, TrainingScans
from brainuad.methods.shared.residual import Accumulator

Spacing = tuple[float, float, float]
LARGEST_INPUT = 8.0
"""Where z-scores are clipped before a network sees them."""


class AtlasSettings(Section):
    """How statistics of healthy scans become an atlas."""

    variance_smooth_mm: float = Field(2.0, ge=0)
    """Sigma of the smoothing of the variances, in mm: some thirty scans make noisy ones."""
    sd_added: float = Field(0.3, ge=0)
    """Added to each sd, as a share of the median sd."""
    min_coverage: float = Field(0.8, gt=0, le=1)
    """Voxels inside the brain of a smaller share of training scans are unknown: their z-score is 0."""

    def words(self) -> str:
        """For the methods section: what follows `the sd of each voxel`."""
        smooth = f"from variances smoothed by a Gaussian of sigma {self.variance_smooth_mm:g} mm, "
        return (
            f"({smooth if self.variance_smooth_mm else ''}plus {self.sd_added:g} of the median sd; voxels in the brain "
            f"of less than {100 * self.min_coverage:g} % of the training scans are 0)"
        )


@dataclass(frozen=True)
class Feature:
    """What is compared with healthy scans: the scan smoothed inside its brain, or that minus its mirror image."""

    smooth_mm: float = 0.0
    difference: bool = False

    @property
    def name(self) -> str:
        """In the state of an atlas: `smooth_4`, `difference_8`."""
        return f"{'difference' if self.difference else 'smooth'}_{self.smooth_mm:g}"

    def of(self, image: Image, brain: Brain, spacing: Spacing) -> Image:
        """The feature of one scan: float32, 0 outside the brain and, for a difference, outside the mirrored brain."""
        from brainuad.images.smooth import smooth_inside  # late: it takes scipy, and settings are read without it

        smooth = smooth_inside(image, brain, self.smooth_mm, spacing)
        return left_right_difference(smooth, brain) if self.difference else smooth

    def seen(self, brain: Brain) -> Brain:
        """Where the feature of a scan with this brain is defined."""
        return brain & mirrored(brain) if self.difference else brain


def mirrored(volume: Any) -> Any:
    """A volume, or several (..., x, y, z), with left and right exchanged: the first of the last three axes reversed."""
    return np.flip(volume, axis=-3)


def left_right_difference(values: Image, brain: Brain) -> Image:
    """`values` minus their mirror image; 0 where either side is outside the brain."""
    return np.where(brain & mirrored(brain), values - mirrored(values), 0).astype(np.float32)


@dataclass(frozen=True)
class Moments:
    """Number, mean and sum of squared deviations of healthy scans at each voxel. `scans`: all, `count`: with brain."""

    scans: int
    count: Int[np.ndarray, "x y z"]
    mean: Float[np.ndarray, "x y z"]
    squares: Float[np.ndarray, "x y z"]

    def without(self, values: Image, brain: Brain) -> Moments:
        """The moments of the other scans, where `values` inside `brain` are one of those that were counted."""
        left = self.count - brain
        step = np.where(brain, values - self.mean, 0)
        mean = self.mean - step / np.maximum(left, 1)
        squares = np.maximum(self.squares - step * np.where(brain, values - mean, 0), 0)
        return Moments(self.scans - 1, left, mean, squares)

    def reference(self, settings: AtlasSettings, spacing: Spacing) -> Reference:
        """Mean and sd to compare scans with; raises InputError under two scans."""
        from brainuad.images.smooth import smooth_inside

        if self.scans < 2:
            why = f"a standard deviation over {self.scans} scan says nothing"
            raise InputError("too few healthy training scans", why=why, do="give at least three, better thirty")
        spread = self.count >= 2
        variance = (self.squares / np.maximum(self.count - 1, 1)).astype(np.float32)
        sd = np.sqrt(np.maximum(smooth_inside(variance, spread, settings.variance_smooth_mm, spacing), 0))
        known = spread & (self.count >= settings.min_coverage * self.scans)
        floor = settings.sd_added * float(np.median(sd[known])) if known.any() else 0.0
        sd = (sd + np.float32(floor)).astype(np.float32)
        return Reference(self.mean.astype(np.float32, copy=False), sd, known & (sd > 0))


@dataclass(frozen=True)
class Reference:
    """What a voxel is like in healthy scans: float32 mean and sd (smoothed and with its floor). `known`: where."""

    mean: Float[np.ndarray, "x y z"]
    sd: Float[np.ndarray, "x y z"]
    known: Bool[np.ndarray, "x y z"]

    def z(self, values: Image, brain: Brain) -> Image:
        """z-score of each voxel, float32; 0 outside the brain and where too few training brains reach."""
        found = np.zeros(values.shape, np.float32)
        return np.divide(values - self.mean, self.sd, out=found, where=brain & self.known)

    def part(self, index: Any) -> Reference:
        """The same for a part of the grid, such as `np.s_[:, :, 10:27]`; arrays are views."""
        return Reference(self.mean[index], self.sd[index], self.known[index])


def as_input(z: np.ndarray) -> np.ndarray:
    """z-scores as a network sees them: clipped at +-8 and halved."""
    return np.clip(z, -LARGEST_INPUT, LARGEST_INPUT) / 2


@dataclass
class HealthyAtlas:
    """Atlas of some features of healthy scans. A method fits or loads it, and keeps its state beside its own."""

    features: Sequence[Feature]
    settings: AtlasSettings = field(default_factory=AtlasSettings)
    moments: dict[Feature, Moments] = field(default_factory=dict)
    _references: dict[tuple[Feature, Spacing], Reference] = field(default_factory=dict, repr=False)

    def fit(self, training: TrainingScans) -> None:
        """Gather the features of all training scans; raises InputError if there are fewer than two."""
        shape = training.images[0].shape
        gathered = {feature: Accumulator(shape) for feature in self.features}
        for image, brain in zip(training.images, training.brains, strict=True):
            for feature, moments in gathered.items():
                moments.add(feature.of(image, brain, training.spacing), feature.seen(brain))
        self._references.clear()
        self.moments = {
            feature: Moments(each.seen, each.count, each.mean.astype(np.float32), each.squares.astype(np.float32))
            for feature, each in gathered.items()
        }
        for feature in self.features:
            self.reference(feature, training.spacing)  # raises where there are too few scans

    def reference(self, feature: Feature, spacing: Spacing) -> Reference:
        """Mean and sd of a feature over all training scans; raises InputError before `fit` or `load`."""
        if feature not in self.moments:
            raise InputError(f"the atlas of healthy scans has no {feature.name}", do="train the model first")
        key = feature, spacing
        if key not in self._references:
            self._references[key] = self.moments[feature].reference(self.settings, spacing)
        return self._references[key]

    def reference_without(self, image: Image, brain: Brain, spacing: Spacing, feature: Feature) -> Reference:
        """The same over all training scans but this one: that of an atlas without it."""
        values = feature.of(image, brain, spacing)
        return self.moments[feature].without(values, feature.seen(brain)).reference(self.settings, spacing)

    def z(self, image: Image, brain: Brain, spacing: Spacing, feature: Feature) -> Image:
        """z-score of a new scan's feature, (x, y, z) float32, 0 where it is undefined."""
        return self.reference(feature, spacing).z(feature.of(image, brain, spacing), feature.seen(brain))

    def state(self, prefix: str = "atlas") -> dict[str, np.ndarray]:
        """The moments by name."""
        state: dict[str, np.ndarray] = {}
        for feature, moments in self.moments.items():
            name = f"{prefix}_{feature.name}"
            state |= {f"{name}_count": moments.count, f"{name}_mean": moments.mean, f"{name}_squares": moments.squares}
            state[f"{name}_scans"] = np.array([moments.scans], np.int32)
        return state

    def load(self, state: Mapping[str, np.ndarray], prefix: str = "atlas") -> None:
        """Restore what `state` returned; raises InputError if a part is missing."""
        self._references.clear()
        self.moments = {feature: _moments(state, f"{prefix}_{feature.name}") for feature in self.features}


def _moments(state: Mapping[str, np.ndarray], name: str) -> Moments:
    try:
        count, mean, squares = (state[f"{name}_{part}"] for part in ("count", "mean", "squares"))
        return Moments(int(state[f"{name}_scans"].item()), count, mean, squares)
    except KeyError as error:
        raise InputError(f"the bundle lacks {error}", do="train the model again") from None
