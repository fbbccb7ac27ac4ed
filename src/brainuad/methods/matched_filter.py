"""Matched filter: the linear combination of scales and left-right differences that tells a lesion best from health.

Source: docs/methods/baselines.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
from jaxtyping import Float
from pydantic import Field

from brainuad.config.model import TOLD_ELSEWHERE, MethodSettings, Several
from brainuad.config.told import Told, listed
from brainuad.errors import InputError
from brainuad.methods.base import Brain, Image, Method, Sign, TrainingScans, check_finite
from brainuad.methods.shared.finishing import FinishedMap, finished
from brainuad.methods.shared.healthy_atlas import Feature, left_right_difference, mirrored
from brainuad.methods.shared.voxel_gaussians import (
    FeatureMoments,
    GaussianSettings,
    VoxelGaussians,
    gaussians,
    well_covered,
)

PARTS = ("known", "weights", "expected")
"""Names of the arrays of the state."""


class FilterMap(FinishedMap):
    """How the filter turns a scan into a map."""

    def shown(self, told: Told) -> str:  # noqa: ARG002
        return "is the output of the filter, in sds of that of healthy scans"


class Settings(MethodSettings):
    """Matched filter over several scales and left-right differences, voxel by voxel."""

    learns: ClassVar[bool] = True
    uses_gpu: ClassVar[bool] = False
    reconstructs: ClassVar[bool] = False
    trivial_baseline: ClassVar[bool] = False
    several: ClassVar[Several] = "each"

    family: Literal["matched_filter"]
    smooth_mm: tuple[float, ...] = Field((1.4, 3.0, 6.0, 10.0), min_length=1)
    """Sigmas of the smoothed scans that are features, in mm."""
    difference_smooth_mm: tuple[float, ...] = (3.0, 6.0, 10.0)
    """Sigmas of the smoothed scans whose differences between left and right are features, in mm."""
    difference_weight: float = Field(0.8, ge=0)
    """What a lesion changes in a difference, where it changes each smoothed scan by 1 (sd, or unit of intensity)."""
    lesion_mm: float | None = Field(None, gt=0)
    """Size of the lesion that the filter looks for: sigma in mm of a blob of one intensity, of which each scale keeps
    its share. None: a lesion that changes all scales by 1 sd, which is a large one."""
    gaussian: GaussianSettings = GaussianSettings()
    map: FilterMap = FilterMap(smooth_mm=2.0)

    def features(self) -> list[Feature]:
        """What the filter combines."""
        differences = [Feature(sigma, difference=True) for sigma in self.difference_smooth_mm]
        return [Feature(sigma) for sigma in self.smooth_mm] + differences

    def describe(self) -> list[str]:
        told = Told(self)
        scales = listed([f"{sigma:g}" for sigma in told.smooth_mm])
        features = f"Features of a voxel are the scan smoothed by Gaussians of sigma {scales} mm"
        if told.difference_smooth_mm:
            scales = listed([f"{sigma:g}" for sigma in told.difference_smooth_mm])
            features += f" and the difference between left and right of the scan smoothed by {scales} mm"
        size = told.lesion_mm
        makes = (
            f"1 in each smoothed scan, {told.difference_weight:g} in each difference"
            if size is None
            else f"that of a blob of sigma {size:g} mm in each smoothed scan, {told.difference_weight:g} of it in each "
            "difference"
        )
        change = (
            "The filter of a voxel is the inverse of the covariance of its standardised features times the change that "
            f"a lesion makes: {makes}. No gradient descent is involved."
        )
        return [
            "a matched filter at each voxel",
            f"{features}.",
            self.gaussian.words(told.gaussian),
            change,
            *told.rest(*TOLD_ELSEWHERE),
        ]

    @classmethod
    def method_class(cls) -> type[Any]:
        return MatchedFilter


class MatchedFilter(Method):
    """Map: w.f / sqrt(d.w) with w = inv(C) d, of features f and lesion d in sds of each voxel, signed and smoothed.

    It is stored as weights of the raw features and an expected value: (features, voxels) and (voxels).
    """

    def __init__(self, settings: Settings):
        self.settings = settings
        self.arrays: dict[str, np.ndarray] = {}

    def fit(self, training: TrainingScans, held_out: TrainingScans | None = None) -> None:  # noqa: ARG002
        settings, spacing = self.settings, training.spacing
        known = well_covered(training, settings.gaussian)
        moments = FeatureMoments(len(settings.features()), int(known.sum()))
        for image, brain in zip(training.images, training.brains, strict=True):
            features = self._features(image, brain, spacing)
            moments.add(features[:, known], brain[known])
            if settings.gaussian.mirror:
                moments.add(mirrored(features)[:, known], mirrored(brain)[known])
        self._keep(gaussians(moments, known, spacing, settings.gaussian))

    def _keep(self, healthy: VoxelGaussians) -> None:
        weights = np.empty_like(healthy.mean)
        for part, covariance in healthy.matrices():
            lesion = self._lesion(healthy.sd[:, part])
            raw = np.linalg.solve(covariance, lesion[..., None])[..., 0]
            weights[:, part] = (raw / np.sqrt((raw * lesion).sum(axis=1))[:, None]).T / healthy.sd[:, part]
        expected = (weights * healthy.mean).sum(axis=0)
        self.arrays = {
            "known": healthy.known,
            "weights": weights.astype(np.float32),
            "expected": expected.astype(np.float32),
        }

    def _lesion(self, sd: Float[np.ndarray, "k n"]) -> Float[np.ndarray, "n k"]:
        """What a lesion changes in each feature, in sds of some voxels."""
        settings, size = self.settings, self.settings.lesion_mm
        change = np.array([settings.difference_weight if each.difference else 1.0 for each in settings.features()])
        if size is None:
            return np.broadcast_to(change, (sd.shape[1], len(change)))
        kept = [(size**2 / (size**2 + each.smooth_mm**2)) ** 1.5 for each in settings.features()]
        return (change * kept)[None] / sd.T

    def _features(
        self, image: Image, brain: Brain, spacing: tuple[float, float, float]
    ) -> Float[np.ndarray, "k x y z"]:
        """All features of a scan, each smoothed once."""
        settings = self.settings
        smooth = {
            sigma: Feature(sigma).of(image, brain, spacing)
            for sigma in {*settings.smooth_mm, *settings.difference_smooth_mm}
        }
        return np.stack(
            [
                left_right_difference(smooth[each.smooth_mm], brain) if each.difference else smooth[each.smooth_mm]
                for each in settings.features()
            ]
        )

    def anomaly_map(self, image: Image, brain: Brain, spacing: tuple[float, float, float], sign: Sign) -> Image:
        if not self.arrays:
            raise InputError("matched_filter has no filter yet", do="train it first")
        known = self.arrays["known"]
        features = self._features(image, brain, spacing)[:, known]
        output = np.zeros(image.shape, np.float32)
        output[known] = (self.arrays["weights"] * features).sum(axis=0) - self.arrays["expected"]
        output[~brain] = 0
        return check_finite(finished(output, brain, spacing, sign, self.settings.map), "matched_filter")

    def state(self) -> dict[str, np.ndarray]:
        return dict(self.arrays)

    def load(self, state: Mapping[str, np.ndarray]) -> None:
        if missing := [name for name in PARTS if name not in state]:
            raise InputError(f"the bundle lacks {', '.join(missing)}", do="train the model again")
        self.arrays = {name: state[name] for name in PARTS}
