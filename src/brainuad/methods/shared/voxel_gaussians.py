"""A Gaussian over several features at each voxel, gathered from healthy scans one at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from pydantic import Field

from brainuad.config.section import Section
from brainuad.config.told import Told
from brainuad.errors import InputError
from brainuad.methods.base import Brain, TrainingScans
from brainuad.methods.shared.healthy_atlas import mirrored

Spacing = tuple[float, float, float]
CHUNK = 20_000
"""Voxels whose matrices are in memory at once."""


class GaussianSettings(Section):
    """How Gaussians of voxels are fitted to some thirty scans."""

    pool_mm: float = Field(3.0, ge=0)
    """Sigma of the smoothing of variances and covariances, in mm."""
    sd_added: float = Field(0.3, ge=0)
    """Added to each sd, as a share of the median sd of the feature."""
    ridge: float = Field(0.1, gt=0)
    """Added to the diagonal of the covariance of the standardised features."""
    min_coverage: float = Field(0.8, gt=0, le=1)
    """Voxels inside the brain of a smaller share of training scans are 0 in the map."""
    mirror: bool = True
    """Whether the mirror image of each training scan counts as another one."""

    def words(self, told: Told) -> str:
        """A sentence for the methods section; `told`: of this section."""
        twice = "scans and their mirror images" if told.mirror else "scans"
        return (
            f"Mean, sd and covariance of the features at each voxel are those of the healthy training {twice}, "
            f"variances and covariances smoothed by a Gaussian of sigma {told.pool_mm:g} mm; {told.sd_added:g} of the "
            f"median sd is added to each sd, and {told.ridge:g} to the diagonal of the covariance of the standardised "
            f"features. Voxels in the brain of less than {100 * told.min_coverage:g} % of the training scans are 0."
        )


def well_covered(training: TrainingScans, settings: GaussianSettings) -> Brain:
    """Voxels in the brain of enough training scans; symmetric where mirror images count."""
    share = np.mean([np.asarray(brain) for brain in training.brains], axis=0, dtype=np.float32)
    if settings.mirror:
        share = (share + mirrored(share)) / 2
    covered: Brain = np.asarray(share >= settings.min_coverage)
    return covered


class FeatureMoments:
    """Mean (float64) and covariance (float32) of `features` values at each of `voxels`, scan by scan (Welford).

    Memory: 2 x features x (features + 5) bytes a voxel, however many scans are added.
    """

    def __init__(self, features: int, voxels: int):
        self.pairs = [(i, j) for i in range(features) for j in range(i + 1)]
        self.count = np.zeros(voxels, np.int32)
        self.mean = np.zeros((features, voxels))
        self.products = np.zeros((len(self.pairs), voxels), np.float32)

    def add(self, values: Float[np.ndarray, "k v"], seen: Bool[np.ndarray, "v"]) -> None:
        """Count one more scan at the voxels `seen`."""
        self.count += seen
        step = np.where(seen, values - self.mean, 0)
        self.mean += step / np.maximum(self.count, 1)
        after = np.where(seen, values - self.mean, 0).astype(np.float32)
        step = step.astype(np.float32)
        for row, (i, j) in zip(self.products, self.pairs, strict=True):
            row += step[i] * after[j]


@dataclass(frozen=True)
class VoxelGaussians:
    """Gaussians at the voxels of `known`.

    `mean`, `sd`: (features, voxels); `covariance`: of standardised features with the ridge, a row for each of `pairs`.
    """

    known: Brain
    mean: Float[np.ndarray, "k v"]
    sd: Float[np.ndarray, "k v"]
    covariance: Float[np.ndarray, "p v"]
    pairs: list[tuple[int, int]]

    def matrices(self) -> Iterator[tuple[slice, Float[np.ndarray, "n k k"]]]:
        """The covariance matrices of some thousand voxels at a time."""
        features, voxels = self.mean.shape
        for start in range(0, voxels, CHUNK):
            part = slice(start, min(start + CHUNK, voxels))
            matrix = np.empty((part.stop - part.start, features, features))
            for row, (i, j) in zip(self.covariance, self.pairs, strict=True):
                matrix[:, i, j] = matrix[:, j, i] = row[part]
            yield part, matrix


def gaussians(moments: FeatureMoments, known: Brain, spacing: Spacing, settings: GaussianSettings) -> VoxelGaussians:
    """Gaussians from gathered features at the voxels of `known`; raises InputError under two scans."""
    from brainuad.images.smooth import smooth_inside  # late: it takes scipy, and settings are read without it

    if not known.any() or moments.count.max() < 2:
        why = "a covariance needs two scans that cover the same voxels"
        raise InputError("too few healthy training scans", why=why, do="give at least two, better thirty")

    def pooled(values: Float[np.ndarray, "v"]) -> Float[np.ndarray, "v"]:
        volume = np.zeros(known.shape, np.float32)
        volume[known] = values
        return smooth_inside(volume, known, settings.pool_mm, spacing)[known]

    degrees = np.maximum(moments.count - 1, 1)
    of_itself = {i: row for row, (i, j) in zip(moments.products, moments.pairs, strict=True) if i == j}
    sd = np.sqrt(np.maximum([pooled(of_itself[i] / degrees) for i in sorted(of_itself)], 0))
    floors = settings.sd_added * np.median(sd, axis=1, keepdims=True)
    sd = np.maximum(sd + floors, np.finfo(np.float32).tiny)
    covariance = np.stack(
        [
            pooled(row / degrees / sd[i] / sd[j]) + settings.ridge * (i == j)
            for row, (i, j) in zip(moments.products, moments.pairs, strict=True)
        ]
    )
    return VoxelGaussians(known, moments.mean, sd, covariance, moments.pairs)
