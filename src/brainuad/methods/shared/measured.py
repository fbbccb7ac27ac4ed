"""Methods that reconstruct scans, and whose map is a measure of their own in place of |scan - reconstruction|."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from brainuad.methods.base import Brain, Image, Sign, TrainingScans
from brainuad.methods.shared.reconstruction import ReconstructionMethod
from brainuad.methods.shared.residual import Accumulator, Rescaling, Residual


class Measures(NamedTuple):
    """What a network finds in a batch."""

    reconstruction: Float[Tensor, "n 1 *size"]
    signed: Float[Tensor, "n 1 *size"]
    """Above 0 where the batch is brighter than expected."""
    absolute: Float[Tensor, "n 1 *size"]
    """Higher where the batch is more abnormal."""


@dataclass(frozen=True)
class _OfScan:
    """The same of a scan, on its grid."""

    reconstruction: Image
    signed: Image
    absolute: Image


class MeasuringMethod(ReconstructionMethod):
    """Its map is made of `measure` at the network's resolution; statistics of healthy scans are those of measures."""

    @abstractmethod
    def measure(self, batch: Float[Tensor, "n 1 *size"]) -> Measures:
        """Reconstruction and measures of slices or volumes, in evaluation mode."""

    def measure_at(self, batch: Float[Tensor, "n 1 *size"], position: Any) -> Measures:  # noqa: ARG002
        """The same where it depends on the position in the scan, as `View.inputs` gives it."""
        return self.measure(batch)

    def reconstruct_batch(self, batch: Tensor) -> Tensor:
        return self.measure(batch).reconstruction

    def add_residuals(self, scans: TrainingScans, gathered: Mapping[Residual, Accumulator | Rescaling]) -> None:
        for image, brain in zip(scans.images, scans.brains, strict=True):
            found = self._measure_scan(image, brain)
            gathered["signed"].add(found.signed, brain)
            gathered["absolute"].add(found.absolute, brain)

    def reconstruct(self, image: Image, brain: Brain) -> Image:
        return self._measure_scan(image, brain).reconstruction

    def predict(
        self, image: Image, brain: Brain, spacing: tuple[float, float, float], sign: Sign
    ) -> tuple[Image, Image | None]:
        found = self._measure_scan(image, brain)
        maps = self.residuals
        measure = found.signed if maps.settings.residual == "signed" else found.absolute
        return maps.finished(maps.standardised(measure, brain), brain, spacing, sign), found.reconstruction

    @torch.no_grad()
    def _measure_scan(self, image: Image, brain: Brain) -> _OfScan:
        self.network.eval()
        found = _OfScan(np.array(image, dtype=np.float32), *(np.zeros(image.shape, np.float32) for _ in range(2)))
        for position, batch in self.view.inputs(image, brain):
            measures = self.measure_at(batch.to(self.device), position)
            self.view.insert(measures.reconstruction, position, found.reconstruction)
            self.view.insert_difference(measures.signed, position, found.signed)
            self.view.insert_difference(measures.absolute, position, found.absolute)
        for part in (found.reconstruction, found.signed, found.absolute):
            part[~brain] = 0
        return found
