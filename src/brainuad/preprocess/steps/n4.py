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
RAISED = 0.05
"""Of the brain's median, added before the logarithm: near 0 it differs most, where there is least to see."""
LEAST_LOG_RANGE = 1e-5
"""Measured: 3e-6 where N4 failed, 4e-3 in an already corrected scan."""
REMEDY = "look at the scan, or take n4 out of the recipe"

HANDLED = (
    Handling(
        "values",
        "values below 0 in the brain, before N4",
        "converted",
        "the 0.1st percentile of the brain, or 0 if that is lower, is taken as 0 for the fit",
    ),
    Handling("values", "a brain in which N4 can fit nothing", "refused", "the reason says that N4 found no bias field"),
)


class N4Step(Step):
    """N4 bias field correction (Tustison 2010): the scan is divided by a smooth field fitted inside the brain mask.

    N4 takes logarithms. If values of the brain are below 0, many are 0, or some are so close to 0 that no field is
    fitted, the fit takes the 0.1st percentile, or 0 if that is lower, as 0 and leaves out voxels at or below it.
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
            log_field = self._log_field(data, brain, spacing)
            if np.ptp(log_field) >= LEAST_LOG_RANGE:
                return np.asarray(data / np.exp(log_field), dtype=np.float32)
            lowest = 0.0  # values just above 0, whose logarithms are far from all others
        above = np.maximum(data - lowest, 0)
        fitted = brain & (above > 0)
        if not fitted.any():
            raise InputError("N4 found no bias field", why="no value in the brain is above 0", do=REMEDY)
        raised = (above + RAISED * np.median(above[fitted])).astype(np.float32)
        log_field = self._log_field(raised, fitted, spacing)
        if np.ptp(log_field) < LEAST_LOG_RANGE:
            raise InputError("N4 found no bias field", why="it is 1 everywhere", do=REMEDY)
        return np.asarray((data - lowest) / np.exp(log_field) + lowest, dtype=np.float32)

    @staticmethod
    def _zero(data: Float[np.ndarray, "x y z"], brain: Bool[np.ndarray, "x y z"]) -> float | None:
        """The value to take for 0; None where the scan is fitted as it is."""
        import numpy as np

        inside = data[brain]
        if inside.size == 0 or (inside.min() >= 0 and (inside == 0).mean() <= MAX_ZEROS):
            return None
        return min(0.0, float(np.percentile(inside, 0.1)))

    def _log_field(
        self, data: Float[np.ndarray, "x y z"], brain: Bool[np.ndarray, "x y z"], spacing: Float[np.ndarray, "3"]
    ) -> Float[np.ndarray, "x y z"]:
        """Logarithm of the bias field; 0 everywhere where nothing was fitted."""
        import numpy as np
        import SimpleITK

        from brainuad.preprocess.itk_image import on_voxels

        scan, mask = on_voxels(data, spacing), on_voxels(brain.astype(np.uint8), spacing)
        factors = [max(1, min(self.shrink, n // 16)) for n in scan.GetSize()]
        corrector = SimpleITK.N4BiasFieldCorrectionImageFilter()
        corrector.SetMaximumNumberOfIterations(self.iterations)
        corrector.Execute(SimpleITK.Shrink(scan, factors), SimpleITK.Shrink(mask, factors))
        return np.asarray(SimpleITK.GetArrayFromImage(corrector.GetLogBiasFieldAsImage(scan)).T)

    def describe(self) -> str:
        levels = ", ".join(str(number) for number in self.iterations)
        how = f"fitted inside the brain mask on the scan reduced by {self.shrink}, with {levels} iterations"
        return f"The bias field was removed with N4 [@tustison2010], {how}."
