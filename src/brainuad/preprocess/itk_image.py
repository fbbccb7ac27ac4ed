"""Volumes as images of SimpleITK, which works in LPS+ coordinates and, here, on one thread.

With more threads its results differ between runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from brainuad.formats.volume import Volume

if TYPE_CHECKING:
    import SimpleITK

Matrix = Float[np.ndarray, "4 4"]
RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def on_voxels(data: np.ndarray, spacing: Float[np.ndarray, "3"]) -> SimpleITK.Image:
    """An image with a voxel size (mm) but no place in the world."""
    itk = _single_threaded()
    image = itk.GetImageFromArray(np.ascontiguousarray(data.T))
    image.SetSpacing([float(s) for s in spacing])
    return image


def in_world(volume: Volume) -> SimpleITK.Image:
    """An image with the place that its affine gives."""
    itk = _single_threaded()
    lps = RAS_TO_LPS @ volume.affine
    result = itk.GetImageFromArray(np.ascontiguousarray(volume.data.T))
    result.SetSpacing(volume.spacing.tolist())
    result.SetOrigin(lps[:3, 3].tolist())
    result.SetDirection((lps[:3, :3] / volume.spacing).ravel().tolist())
    return result


def _single_threaded() -> Any:
    import SimpleITK

    SimpleITK.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    return SimpleITK
