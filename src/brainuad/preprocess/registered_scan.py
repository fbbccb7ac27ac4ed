"""A scan with its registration, and masks between its voxels and the template's grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from brainuad.formats.transform import Affine
from brainuad.formats.volume import Volume
from brainuad.images.resample import resample, resample_mask
from brainuad.images.template import Template

Mask = Bool[np.ndarray, "x y z"]


@dataclass(frozen=True)
class RegisteredScan:
    """`image`: the scan on the template's grid, with everything around the brain."""

    scan: Volume
    transform: Affine
    template: Template
    image: Float[np.ndarray, "x y z"]
    modality: str

    def to_scan(self, mask: Mask) -> Mask:
        """A mask on the template's grid, resampled to the scan's own voxels."""
        x, y, z = self.scan.data.shape
        inverse = self.transform.inverse().matrix
        return resample_mask(mask, self.template.affine, (x, y, z), self.scan.affine, inverse)

    def to_template(self, mask: Volume) -> Mask:
        """A mask in the scan's world, resampled to the template's grid."""
        grid = self.template.affine
        return resample_mask(mask.data, mask.affine, grid_shape(self.template), grid, self.transform.matrix)

    def field_of_view(self) -> Mask:
        """Template voxels that the scan covers."""
        index = np.linalg.inv(self.scan.affine) @ self.transform.matrix @ self.template.affine
        inside = np.ones(grid_shape(self.template), dtype=bool)
        i, j, k = (np.arange(n) for n in grid_shape(self.template))
        for axis, n in enumerate(self.scan.data.shape):
            a, b, c, d = index[axis]
            voxel = (a * i)[:, None, None] + (b * j)[None, :, None] + (c * k + d)[None, None, :]
            inside &= (voxel >= -0.5) & (voxel <= n - 0.5)
        return inside


def resample_to_template(scan: Volume, transform: Affine, template: Template, modality: str) -> RegisteredScan:
    """The scan on the template's grid; outside its field of view the image takes the scan's lowest value."""
    fill = float(scan.data.min())
    image = resample(scan.data, scan.affine, grid_shape(template), template.affine, transform.matrix, fill=fill)
    return RegisteredScan(scan, transform, template, image, modality)


def grid_shape(template: Template) -> tuple[int, int, int]:
    """Voxels of the template's grid along x, y and z."""
    x, y, z = template.brain.shape
    return x, y, z
