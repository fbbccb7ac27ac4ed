"""An affine transform between a scan's world and the template's, as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from brainuad.errors import InputError
from brainuad.formats.files import read_json, write_json

NAME = "transform.json"


@dataclass(frozen=True)
class Affine:
    """`matrix`, 4x4: template world coordinates (mm, RAS+) to the scan's world coordinates (mm, RAS+).

    The direction is that of resampling: from each template voxel to its place in the scan.
    """

    matrix: Float[np.ndarray, "4 4"]

    def inverse(self) -> Affine:
        """From the scan's world to the template's."""
        return Affine(np.linalg.inv(self.matrix))


def write(path: str | Path, transform: Affine) -> None:
    """Write the matrix with its direction and unit."""
    content = {"from": "template world (mm, RAS+)", "to": "scan world (mm, RAS+)", "matrix": transform.matrix.tolist()}
    write_json(path, content)


def read(path: str | Path) -> Affine:
    """Read a transform; raises InputError unless it holds an invertible 4x4 matrix."""
    content = read_json(path)
    try:
        matrix = np.asarray(content["matrix"], dtype=float)
    except (KeyError, TypeError, ValueError):
        matrix = np.zeros((0, 0))
    if matrix.shape != (4, 4) or abs(np.linalg.det(matrix)) < 1e-9:
        raise InputError("the transform is no invertible 4x4 matrix", file=path, do="run preprocess again")
    return Affine(matrix)
