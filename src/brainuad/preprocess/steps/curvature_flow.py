"""Denoising by curvature flow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from brainuad.config.steps import Step

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Bool, Float


class CurvatureFlowStep(Step):
    """Edge-preserving denoising by curvature flow (Sethian 1996).

    The defaults are those of the later code of the authors of Baur 2018.
    """

    step: Literal["curvature_flow"] = "curvature_flow"
    time_step: float = Field(0.125, gt=0)
    """Step of the partial differential equation."""
    iterations: int = Field(3, ge=1)
    """Number of these steps."""

    def apply(
        self,
        data: Float[np.ndarray, "x y z"],
        brain: Bool[np.ndarray, "x y z"],  # noqa: ARG002 - every step has this signature
        spacing: Float[np.ndarray, "3"],
    ) -> Float[np.ndarray, "x y z"]:
        import numpy as np
        import SimpleITK

        from brainuad.preprocess.itk_image import on_voxels

        smooth = SimpleITK.CurvatureFlow(on_voxels(data, spacing), self.time_step, self.iterations)
        return np.asarray(SimpleITK.GetArrayFromImage(smooth).T, dtype=np.float32)

    def describe(self) -> str:
        return f"Noise was reduced by {self.iterations} steps of {self.time_step:g} of curvature flow [@sethian1996]."
