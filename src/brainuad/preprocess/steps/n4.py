"""N4 bias field correction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from brainuad.config.steps import Step

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Bool, Float


class N4Step(Step):
    """N4 bias field correction (Tustison 2010): the scan is divided by a smooth field fitted inside the brain mask.

    Intensities must not be negative in the brain.
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
        import SimpleITK

        from brainuad.preprocess.itk_image import on_voxels

        scan, mask = on_voxels(data, spacing), on_voxels(brain.astype(np.uint8), spacing)
        factors = [max(1, min(self.shrink, n // 16)) for n in scan.GetSize()]
        corrector = SimpleITK.N4BiasFieldCorrectionImageFilter()
        corrector.SetMaximumNumberOfIterations(self.iterations)
        corrector.Execute(SimpleITK.Shrink(scan, factors), SimpleITK.Shrink(mask, factors))
        log_field = SimpleITK.GetArrayFromImage(corrector.GetLogBiasFieldAsImage(scan)).T
        return np.asarray(data / np.exp(log_field), dtype=np.float32)

    def describe(self) -> str:
        return "The bias field was removed with N4 [@tustison2010]."
