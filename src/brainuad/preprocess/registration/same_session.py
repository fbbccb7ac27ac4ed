"""Rigid registration of two scans of one session."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy import ndimage

from brainuad.errors import InputError
from brainuad.formats.volume import Volume, same_grid
from brainuad.preprocess.itk_image import in_world
from brainuad.preprocess.registration import itk
from brainuad.preprocess.registration.input import RegistrationInput

Matrix = Float[np.ndarray, "4 4"]
Shift = Float[np.ndarray, "3"]
MIN_GAIN = 0.02
"""Share by which mutual information must rise over that of the headers before these are overruled."""
HEAD = 0.05
"""Values of a `RegistrationInput` above it are head."""
SHIFT_MM = 6.0
COMPARED_EVERY = 7
"""Of the head's voxels, one in so many is compared after shifts."""
FAR_MM = 20.0
"""Distance of two heads from which headers are doubted."""


@dataclass(frozen=True)
class Effort:
    """How two scans are registered: resolutions, one after the other, and the share of voxels of the comparison.

    `from_heads`: whether the search always starts from the places of the two heads, too; else only where these are far
    apart or do not overlap by the headers.
    """

    levels: tuple[itk.Level, ...]
    compared: float
    from_heads: bool


REFERENCE_EFFORT = Effort(tuple(itk.Level((sigma,), 0.05) for sigma in (8.0, 4.0, 2.0)), 1.0, from_heads=True)
"""For the scan that stands in for another one at the template."""
SEQUENCE_EFFORT = Effort(
    (itk.Level((8.0,), 0.02, filtered=False), itk.Level((3.0,), 0.03, False), itk.Level((1.0,), 0.04, False)),
    0.1,
    False,
)
"""For the sequences of a session, of which there are many; errors and times: docs/benchmarks.md."""


def register_in_session(
    reference: Volume,
    scan: Volume,
    reference_input: RegistrationInput,
    scan_input: RegistrationInput,
    effort: Effort = REFERENCE_EFFORT,
) -> Matrix:
    """The rigid transform from the reference scan's world to the scan's (mm): the identity where their grids are one.

    Else mutual information decides. The search starts from what the headers say and from the places of the two heads;
    the headers stand where nothing better is found. Raises InputError where the two scans do not overlap.
    """
    return np.eye(4) if same_grid(reference, scan) else _rigid(reference_input, scan_input, effort)


def shift_ratio(reference: RegistrationInput, scan: RegistrationInput) -> float:
    """What two scans share after the best shift of 6 mm along an axis, divided by what they share by their headers.

    Normalised mutual information less 1. Above 1 where the headers do not place the two on each other.
    """
    from skimage.metrics import normalized_mutual_information

    index = np.argwhere(reference.volume.data > HEAD)[::COMPARED_EVERY]
    values = reference.volume.data[tuple(index.T)]
    points = index @ reference.volume.affine[:3, :3].T + reference.volume.affine[:3, 3]
    to_voxel = np.linalg.inv(scan.volume.affine)

    def shared(shift: Shift) -> float:
        at = to_voxel[:3, :3] @ (points + shift).T + to_voxel[:3, 3:]
        moved = ndimage.map_coordinates(scan.volume.data, at, order=1)
        return float(normalized_mutual_information(values, moved, bins=32)) - 1 if np.ptp(moved) > 0 else 0.0

    away = max(shared(sign * SHIFT_MM * axis) for axis in np.eye(3) for sign in (-1, 1))
    here = shared(np.zeros(3))
    return away / here if here > 0 else np.inf


def _rigid(reference: RegistrationInput, scan: RegistrationInput, effort: Effort) -> Matrix:
    fixed, mask, moving = _images(reference, scan)
    between_heads = (scan.scan_point - scan.template_point) - (reference.scan_point - reference.template_point)
    best, matrix = -np.inf, None
    with suppress(RuntimeError):  # by the headers the two do not overlap at all
        by_headers = itk.mutual_information(fixed, mask, moving, _shifted(reference, np.zeros(3)), effort.compared)
        best, matrix = by_headers * (1 + MIN_GAIN), np.eye(4)
    far = matrix is None or float(np.linalg.norm(between_heads)) > FAR_MM
    for shift in (np.zeros(3), *([between_heads] if effort.from_heads or far else [])):
        rigid = _shifted(reference, shift)
        with suppress(RuntimeError):
            for level in effort.levels:
                itk.optimise(fixed, mask, moving, rigid, level)
            reached = itk.mutual_information(fixed, mask, moving, rigid, effort.compared)
            if reached > best:
                best, matrix = reached, itk.matrix_of(rigid)
    if matrix is None:
        do = "correct the header of one of them, or leave register_with out"
        raise InputError("the scan and the one it is registered with do not overlap", do=do)
    return matrix


def _images(reference: RegistrationInput, scan: RegistrationInput) -> tuple[Any, Any, Any]:
    """Of ITK: the reference scan, the mask of its head, and the scan."""
    head = ndimage.binary_dilation(reference.volume.data > HEAD)
    mask = in_world(Volume(head.astype(np.uint8), reference.volume.affine))
    return in_world(_float32(reference.volume)), mask, in_world(_float32(scan.volume))


def _shifted(reference: RegistrationInput, shift: Shift) -> object:
    """A shift (mm) as a rigid transform of ITK about the middle of the reference scan's head."""
    import SimpleITK

    rigid = SimpleITK.Euler3DTransform()
    rigid.SetCenter([float(v) for v in reference.scan_point * [-1, -1, 1]])
    rigid.SetTranslation([float(v) for v in shift * [-1, -1, 1]])
    return rigid


def _float32(volume: Volume) -> Volume:
    return Volume(volume.data.astype(np.float32), volume.affine)
