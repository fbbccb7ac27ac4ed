"""N4 bias field correction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from brainuad.config.steps import Step
from brainuad.errors import InputError
from brainuad.formats.handling import Handling

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Bool, Float

MAX_ZEROS = 0.01
"""Share of the brain that may be 0: N4 counts zeros as dark tissue."""
LEAST_LOG_RANGE = 1e-5
"""Measured: 3e-6 where N4 failed, 4e-3 in an already corrected scan."""
REMEDY = "look at the scan, or take n4 out of the recipe"

HANDLED = (
    Handling(
        "values",
        "values below 0 in the brain, before N4",
        "converted",
        "they are left out of the fit, or all are shifted",
    ),
    Handling("values", "a brain in which N4 can fit nothing", "refused", "N4 found no bias field"),
)


class N4Step(Step):
    """N4 bias field correction (Tustison 2010): the scan is divided by a smooth field fitted inside the brain mask.

    N4 takes logarithms. A scan with negative values in the brain, or many zeros, is fitted without its lowest ones, and
    from the 0.1st percentile upwards if that is not above 0.
    """

    step: Literal["n4"] = "n4"
    shrink: int = Field(4, ge=1)
    """Factor by which the scan is reduced while the field is fitted."""
    iterations: list[int] = [50, 50, 30]
    """Iterations per resolution level."""

    def apply(
        self, data: Float[np.ndarray, "x y z"], brain: Bool[np.ndarray, "x y z"], spacing: Float[np.ndarray, "3"]
    ) -> Float[np.ndarray, "x y z"]:
        import numpy as np

        lowest = self._zero(data, brain)
        if lowest is None:
            return np.asarray(data / self._field(data, brain, spacing), dtype=np.float32)
        above = data - lowest
        # near 0 logarithms differ most, where there is least to see
        fitted = above + 0.05 * np.median(above[brain]) if lowest else above
        field = self._field(np.maximum(fitted, 0).astype(np.float32), brain & (fitted > 0), spacing)
        return np.asarray(above / field + lowest, dtype=np.float32)

    @staticmethod
    def _zero(data: Float[np.ndarray, "x y z"], brain: Bool[np.ndarray, "x y z"]) -> float | None:
        """The value to take for 0; None where the scan is fitted as it is."""
        import numpy as np

        inside = data[brain]
        if inside.size == 0 or (inside.min() >= 0 and (inside == 0).mean() <= MAX_ZEROS):
            return None
        return min(0.0, float(np.percentile(inside, 0.1)))

    def _field(
        self, data: Float[np.ndarray, "x y z"], brain: Bool[np.ndarray, "x y z"], spacing: Float[np.ndarray, "3"]
    ) -> Float[np.ndarray, "x y z"]:
        """The bias field; raises InputError where it is 1 everywhere because nothing was fitted."""
        import numpy as np
        import SimpleITK

        from brainuad.preprocess.itk_image import on_voxels

        if not brain.any():
            raise InputError("N4 found no bias field", why="no value in the brain is above 0", do=REMEDY)
        scan, mask = on_voxels(data, spacing), on_voxels(brain.astype(np.uint8), spacing)
        factors = [max(1, min(self.shrink, n // 16)) for n in scan.GetSize()]
        corrector = SimpleITK.N4BiasFieldCorrectionImageFilter()
        corrector.SetMaximumNumberOfIterations(self.iterations)
        corrector.Execute(SimpleITK.Shrink(scan, factors), SimpleITK.Shrink(mask, factors))
        log_field = SimpleITK.GetArrayFromImage(corrector.GetLogBiasFieldAsImage(scan)).T
        if float(np.ptp(log_field)) < LEAST_LOG_RANGE:
            raise InputError("N4 found no bias field", why="it is 1 everywhere", do=REMEDY)
        return np.exp(log_field)

    def describe(self) -> str:
        return "The bias field was removed with N4 [@tustison2010]."
