"""Window of Hounsfield units."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import model_validator

from brainuad.config.steps import Step

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Bool, Float


class WindowStep(Step):
    """CT only: values are clipped to a window.

    It runs after the brain mask, which needs bone, and before resampling, which would blur bone into the brain.
    """

    step: Literal["window"] = "window"
    limits_hu: tuple[float, float]
    """Lower and upper limit, in Hounsfield units."""
    modalities: ClassVar[frozenset[str]] = frozenset({"ct"})

    @model_validator(mode="after")
    def _check_order(self) -> WindowStep:
        low, high = self.limits_hu
        if low >= high:
            raise ValueError(f"limits_hu goes from {low:g} to {high:g}: the first must be the smaller one")
        return self

    def apply(
        self,
        data: Float[np.ndarray, "x y z"],
        brain: Bool[np.ndarray, "x y z"],  # noqa: ARG002 - every step has this signature
        spacing: Float[np.ndarray, "3"],  # noqa: ARG002
    ) -> Float[np.ndarray, "x y z"]:
        import numpy as np

        return np.clip(data, *self.limits_hu)

    def describe(self) -> str:
        return f"CT was clipped to {self.limits_hu[0]:g} to {self.limits_hu[1]:g} HU before resampling."
