"""Principal components of smoothed healthy scans; the map is what they leave of a smoothed scan.

Source: docs/methods/baselines.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal

import numpy as np
from jaxtyping import Float
from pydantic import Field

from brainuad.config.model import TOLD_ELSEWHERE, MethodSettings, Several
from brainuad.config.told import Told
from brainuad.errors import InputError
from brainuad.methods.base import Brain, Image, Method, Sign, TrainingScans, check_finite
from brainuad.methods.shared.finishing import StandardisedMap, finished
from brainuad.methods.shared.per_scan import SD_PER_MAD
from brainuad.methods.shared.residual import Accumulator, Statistics, standardise

SCANS_A_COMPONENT = 3
"""Fewer training scans than this for each component, and components describe single scans."""
CAUCHY = 2.385
"""Residuals of this many sds get half the weight; 95 % efficient for normal residuals."""
Spacing = tuple[float, float, float]


class Settings(MethodSettings):
    """Principal components of smoothed healthy scans, fitted to a scan without its outliers."""

    learns: ClassVar[bool] = True
    uses_gpu: ClassVar[bool] = False
    reconstructs: ClassVar[bool] = False
    trivial_baseline: ClassVar[bool] = False
    several: ClassVar[Several] = "each"

    family: Literal["pca"]
    smooth_mm: float = Field(4.0, ge=0)
    """Sigma of the low-pass, in mm: components are those of smoothed scans, and what it takes away is not judged."""
    components: int = Field(10, ge=1)
    """Largest number of components; at most a third of the training scans."""
    robust_steps: int = Field(5, ge=0)
    """Times that voxels are weighted by their residuals (Cauchy) and the scan is projected again, so that a lesion does
    not draw the reconstruction to it. 0: least squares."""
    map: StandardisedMap = StandardisedMap(smooth_mm=2.0)

    def describe(self) -> list[str]:
        told = Told(self)
        how = f"Scans are smoothed by a Gaussian of sigma {told.smooth_mm:g} mm; the mean and {told.components:g} "
        how += "principal components of the healthy training scans (at most a third of their number) reconstruct them"
        if told.robust_steps:
            how += f", fitted by {told.robust_steps:g} rounds of reweighted least squares with Cauchy weights"
        rest = "Finer detail of the scan is left as it is: the map is the residual of the smoothed scan, compared with "
        rest += "the residuals of the training scans."
        return ["a projection on principal components of healthy scans", f"{how}.", rest, *told.rest(*TOLD_ELSEWHERE)]

    @classmethod
    def method_class(cls) -> type[Any]:
        return PrincipalComponents


class PrincipalComponents(Method):
    """Map: z-score of the smoothed scan minus its robust projection. `basis`: (components, x, y, z), orthonormal."""

    def __init__(self, settings: Settings):
        self.settings = settings
        self.scans: Statistics | None = None
        self.basis = np.empty(0, np.float32)
        self.residuals: Statistics | None = None

    def fit(self, training: TrainingScans, held_out: TrainingScans | None = None) -> None:  # noqa: ARG002
        shape = training.images[0].shape
        gathered = Accumulator(shape)
        for low, brain in self._low_passes(training):
            gathered.add(low, brain)
        self.scans = gathered.result()
        known = self._known(self.scans)
        number = max(1, min(self.settings.components, gathered.seen // SCANS_A_COMPONENT))
        centred = (
            np.where(brain, low - gathered.mean, 0)[known].astype(np.float32)
            for low, brain in self._low_passes(training)
        )
        basis = np.zeros((number, *shape), np.float32)
        found = principal_components(centred, number)
        basis[: len(found), known] = found
        self.basis = basis
        residuals = Accumulator(shape)
        for low, brain in self._low_passes(training):
            residuals.add(low - self._projected(low, brain), brain)
        self.residuals = residuals.result()

    def _low_passes(self, scans: TrainingScans) -> Iterator[tuple[Image, Brain]]:
        for image, brain in zip(scans.images, scans.brains, strict=True):
            yield self._low_pass(image, brain, scans.spacing), brain

    def _low_pass(self, image: Image, brain: Brain, spacing: Spacing) -> Image:
        from brainuad.images.smooth import smooth_inside  # late: it takes scipy, and settings are read without it

        return smooth_inside(image, brain, self.settings.smooth_mm, spacing)

    def _known(self, scans: Statistics) -> Brain:
        known: Brain = scans.coverage >= self.settings.map.min_coverage
        return known

    def _projected(self, low: Image, brain: Brain) -> Image:
        """The smoothed scan as the components have it; itself where these do not reach."""
        if self.scans is None:
            raise InputError("pca has no components yet", do="train it first")
        seen = brain & self._known(self.scans)
        projected = np.array(low, dtype=np.float32)
        if seen.any():
            basis = self.basis[:, seen]
            values = low[seen] - self.scans.mean[seen]
            projected[seen] -= values - robust_fit(values, basis, self.settings.robust_steps)
        return projected

    def anomaly_map(self, image: Image, brain: Brain, spacing: Spacing, sign: Sign) -> Image:
        low = self._low_pass(image, brain, spacing)
        residual = low - self._projected(low, brain)
        if self.residuals is None:
            raise InputError("pca has no residuals yet", do="train it first")
        z = standardise(residual, brain, self.residuals, self.settings.map)
        return check_finite(finished(z, brain, spacing, sign, self.settings.map), "pca")

    def state(self) -> dict[str, np.ndarray]:
        if self.scans is None or self.residuals is None:
            return {}
        return {"basis": self.basis} | self.scans.state("scans") | self.residuals.state("residuals")

    def load(self, state: Mapping[str, np.ndarray]) -> None:
        self.scans, self.residuals = Statistics.load(state, "scans"), Statistics.load(state, "residuals")
        if "basis" not in state:
            raise InputError("the bundle lacks basis", do="train the model again")
        self.basis = state["basis"]


def principal_components(rows: Iterator[Float[np.ndarray, "v"]], number: int) -> Float[np.ndarray, "k v"]:
    """Principal components of centred rows that are read once: orthonormal, the strongest first.

    Rows are merged, twice `number` at a time, into as many weighted components as that, and only these are kept. Exact
    for up to four times `number` rows. Fewer are returned if the rows span fewer dimensions.
    """
    kept: list[np.ndarray] = []
    for row in rows:
        kept.append(row)
        if len(kept) == 4 * number:
            kept = list(_merged(np.stack(kept), 2 * number))
    merged = _merged(np.stack(kept), number)
    lengths = np.linalg.norm(merged, axis=1, keepdims=True)
    return np.asarray(merged / lengths, dtype=np.float32)


def _merged(rows: Float[np.ndarray, "n v"], number: int) -> Float[np.ndarray, "k v"]:
    """The first components of these rows, each as long as the rows are spread along it."""
    gram = (rows @ rows.T).astype(np.float64)
    spread, mixing = np.linalg.eigh(gram)
    strongest = [i for i in np.argsort(spread)[::-1][:number] if spread[i] > 1e-6 * spread.max()]
    return np.asarray(mixing[:, strongest].T.astype(np.float32) @ rows)


def robust_fit(values: Float[np.ndarray, "v"], basis: Float[np.ndarray, "k v"], steps: int) -> Float[np.ndarray, "v"]:
    """Sum of basis vectors nearest to the values, voxels with large residuals counting little; `steps` reweightings."""
    weights = np.ones_like(values)
    fitted = np.zeros_like(values)
    for step in range(steps + 1):
        if step:
            residual = values - fitted
            sd = SD_PER_MAD * np.median(np.abs(residual - np.median(residual)))
            weights = 1 / (1 + np.square(residual / max(CAUCHY * sd, np.finfo(np.float32).tiny)))
        weighted = basis * weights
        ridge = 1e-6 * np.eye(len(basis), dtype=values.dtype)
        fitted = np.linalg.solve(weighted @ basis.T + ridge, weighted @ values) @ basis
    return np.asarray(fitted, dtype=np.float32)
