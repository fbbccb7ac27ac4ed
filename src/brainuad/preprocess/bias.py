"""Bias field correction and denoising by SimpleITK, one thread."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float

from brainuad.config.recipe import N4, CurvatureFlow

if TYPE_CHECKING:
    import SimpleITK

Image = Float[np.ndarray, "x y z"]


def n4(image: Image, mask: Bool[np.ndarray, "x y z"], spacing: Float[np.ndarray, "3"], settings: N4) -> Image:
    """`image` divided by the smooth field that N4 (Tustison 2010) fits inside `mask`; `spacing` in mm, float32.

    Intensities must not be negative in the mask; the field is one outside its reach.
    """
    itk = _itk()
    scan, inside = _to_itk(image, spacing), _to_itk(mask.astype(np.uint8), spacing)
    factors = [max(1, min(settings.shrink, n // 16)) for n in scan.GetSize()]
    corrector = itk.N4BiasFieldCorrectionImageFilter()
    corrector.SetMaximumNumberOfIterations(settings.iterations)
    corrector.Execute(itk.Shrink(scan, factors), itk.Shrink(inside, factors))
    field = itk.GetArrayFromImage(corrector.GetLogBiasFieldAsImage(scan)).T
    return np.asarray(image / np.exp(field), dtype=np.float32)


def curvature_flow(image: Image, spacing: Float[np.ndarray, "3"], settings: CurvatureFlow) -> Image:
    """Edge-preserving smoothing by curvature flow (Sethian 1996); float32."""
    itk = _itk()
    result = itk.CurvatureFlow(_to_itk(image, spacing), settings.time_step, settings.iterations)
    return np.asarray(itk.GetArrayFromImage(result).T, dtype=np.float32)


def _itk() -> Any:
    import SimpleITK

    SimpleITK.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    return SimpleITK


def _to_itk(data: np.ndarray, spacing: Float[np.ndarray, "3"]) -> SimpleITK.Image:
    image = _itk().GetImageFromArray(np.ascontiguousarray(data.T))
    image.SetSpacing([float(s) for s in spacing])
    return image
