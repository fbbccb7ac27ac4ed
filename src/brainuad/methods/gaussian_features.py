"""A Gaussian over local features at each voxel (after PaDiM), with features that need no network.

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
from brainuad.methods.shared.finishing import DistanceMap, directed, finished
from brainuad.methods.shared.healthy_atlas import mirrored
from brainuad.methods.shared.local_features import gradient_magnitude, local_mean_and_sd
from brainuad.methods.shared.voxel_gaussians import FeatureMoments, GaussianSettings, gaussians, well_covered

PARTS = ("known", "mean", "sd", "whitening")
"""Names of the arrays of the state."""
Spacing = tuple[float, float, float]


class MahalanobisMap(DistanceMap):
    """How distances from the Gaussians become a map."""

    def shown(self, told: Told) -> str:  # noqa: ARG002
        return "is the Mahalanobis distance of a voxel's features, divided by the root of their number"


class Settings(MethodSettings):
    """Mahalanobis distance of local features from a Gaussian at each voxel (after PaDiM), without a network."""

    learns: ClassVar[bool] = True
    uses_gpu: ClassVar[bool] = False
    reconstructs: ClassVar[bool] = False
    trivial_baseline: ClassVar[bool] = False
    several: ClassVar[Several] = "each"

    family: Literal["gaussian_features"]
    smooth_mm: tuple[float, ...] = Field((1.4, 3.0, 6.0, 10.0), min_length=1)
    """Sigmas of the smoothed scans that are features, in mm."""
    texture_mm: tuple[float, ...] = (3.0, 6.0)
    """Sigmas at which the magnitude of the gradient and the local sd are features, in mm."""
    gaussian: GaussianSettings = GaussianSettings()
    map: MahalanobisMap = MahalanobisMap(smooth_mm=2.0)

    def describe(self) -> list[str]:
        told = Told(self)
        scales = listed([f"{sigma:g}" for sigma in told.smooth_mm])
        features = f"Features of a voxel are the scan smoothed by Gaussians of sigma {scales} mm"
        if told.texture_mm:
            scales = listed([f"{sigma:g}" for sigma in told.texture_mm])
            features += f", and the magnitude of its gradient and its sd in the neighbourhood at {scales} mm"
        what = "a Gaussian over local features at each voxel"
        return [what, f"{features}.", self.gaussian.words(told.gaussian), *told.rest(*TOLD_ELSEWHERE)]

    @classmethod
    def method_class(cls) -> type[Any]:
        return GaussianFeatures


class GaussianFeatures(Method):
    """Map: Mahalanobis distance over the root of the number of features.

    `whitening`: the lower triangle of the inverse Cholesky factor of each voxel's covariance, (pairs, voxels).
    """

    def __init__(self, settings: Settings):
        self.settings = settings
        self.arrays: dict[str, np.ndarray] = {}

    def fit(self, training: TrainingScans, held_out: TrainingScans | None = None) -> None:  # noqa: ARG002
        how, spacing = self.settings.gaussian, training.spacing
        known = well_covered(training, how)
        moments = FeatureMoments(len(self.settings.smooth_mm) + 2 * len(self.settings.texture_mm), int(known.sum()))
        for image, brain in zip(training.images, training.brains, strict=True):
            features = self._features(image, brain, spacing)
            moments.add(features[:, known], brain[known])
            if how.mirror:
                moments.add(mirrored(features)[:, known], mirrored(brain)[known])
        healthy = gaussians(moments, known, spacing, how)
        whitening = np.empty_like(healthy.covariance, dtype=np.float32)
        for part, covariance in healthy.matrices():
            inverse = np.linalg.inv(np.linalg.cholesky(covariance))
            whitening[:, part] = [inverse[:, i, j] for i, j in healthy.pairs]
        mean, sd = healthy.mean.astype(np.float32), healthy.sd.astype(np.float32)
        self.arrays = {"known": known, "mean": mean, "sd": sd, "whitening": whitening}

    def _features(self, image: Image, brain: Brain, spacing: Spacing) -> Float[np.ndarray, "k x y z"]:
        """All features of a scan; those of its mirror image are the mirrored ones."""
        settings = self.settings
        smooth = [local_mean_and_sd(image, brain, sigma, spacing)[0] for sigma in settings.smooth_mm]
        texture = []
        for sigma in settings.texture_mm:
            mean, sd = local_mean_and_sd(image, brain, sigma, spacing)
            texture += [gradient_magnitude(mean, brain, spacing), sd]
        return np.stack([*smooth, *texture])

    def anomaly_map(self, image: Image, brain: Brain, spacing: Spacing, sign: Sign) -> Image:
        if not self.arrays:
            raise InputError("gaussian_features has no Gaussians yet", do="train it first")
        known = self.arrays["known"]
        features = (self._features(image, brain, spacing)[:, known] - self.arrays["mean"]) / self.arrays["sd"]
        white = np.zeros_like(features)
        pairs = ((i, j) for i in range(len(features)) for j in range(i + 1))
        for row, (i, j) in zip(self.arrays["whitening"], pairs, strict=True):
            white[i] += row * features[j]
        distance, direction = (np.zeros(image.shape, np.float32) for _ in range(2))
        distance[known] = np.sqrt(np.square(white).mean(axis=0))
        direction[known] = features[: len(self.settings.smooth_mm)].mean(axis=0)
        distance[~brain] = 0
        values, sign = directed(distance, direction, sign, self.settings.map)
        return check_finite(finished(values, brain, spacing, sign, self.settings.map), "gaussian_features")

    def state(self) -> dict[str, np.ndarray]:
        return dict(self.arrays)

    def load(self, state: Mapping[str, np.ndarray]) -> None:
        if missing := [name for name in PARTS if name not in state]:
            raise InputError(f"the bundle lacks {', '.join(missing)}", do="train the model again")
        self.arrays = {name: state[name] for name in PARTS}
