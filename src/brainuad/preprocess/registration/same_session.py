"""Rigid registration of two scans of one session."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
from jaxtyping import Float
from scipy import ndimage

from brainuad.errors import InputError
from brainuad.formats.volume import Volume, same_grid
from brainuad.preprocess.itk_image import in_world
from brainuad.preprocess.registration import itk
from brainuad.preprocess.registration.input import RegistrationInput

Matrix = Float[np.ndarray, "4 4"]
MIN_GAIN = 0.02
"""Share by which mutual information must rise over that of the headers before these are overruled."""
SIGMAS_MM = (8.0, 4.0, 2.0)
SAMPLED_FRACTION = 0.05


def register_in_session(
    reference: Volume, scan: Volume, reference_input: RegistrationInput, scan_input: RegistrationInput
) -> Matrix:
    """The rigid transform from the reference scan's world to the scan's (mm): the identity where their grids are one.

    Else mutual information decides. The search starts from what the headers say and from the places of the two heads;
    the headers stand where nothing better is found. Raises InputError where the two scans do not overlap.
    """
    return np.eye(4) if same_grid(reference, scan) else _rigid(reference_input, scan_input)


def _rigid(reference: RegistrationInput, scan: RegistrationInput) -> Matrix:
    head = ndimage.binary_dilation(reference.volume.data > 0.05)
    fixed = in_world(_float32(reference.volume))
    mask = in_world(Volume(head.astype(np.uint8), reference.volume.affine))
    moving = in_world(_float32(scan.volume))
    between_heads = (scan.scan_point - scan.template_point) - (reference.scan_point - reference.template_point)
    best, matrix = -np.inf, None
    with suppress(RuntimeError):  # by the headers the two do not overlap at all
        by_headers = itk.mutual_information(fixed, mask, moving, _shifted(reference, np.zeros(3)))
        best, matrix = by_headers * (1 + MIN_GAIN), np.eye(4)
    for shift in (np.zeros(3), between_heads):
        rigid = _shifted(reference, shift)
        with suppress(RuntimeError):
            for sigma in SIGMAS_MM:
                itk.optimise(fixed, mask, moving, rigid, itk.Level((sigma,), SAMPLED_FRACTION))
            reached = itk.mutual_information(fixed, mask, moving, rigid)
            if reached > best:
                best, matrix = reached, itk.matrix_of(rigid)
    if matrix is None:
        do = "correct the header of one of them, or leave register_with out"
        raise InputError("the scan and the one it is registered with do not overlap", do=do)
    return matrix


def _shifted(reference: RegistrationInput, shift: Float[np.ndarray, "3"]) -> object:
    """A shift (mm) as a rigid transform of ITK about the middle of the reference scan's head."""
    import SimpleITK

    rigid = SimpleITK.Euler3DTransform()
    rigid.SetCenter([float(v) for v in reference.scan_point * [-1, -1, 1]])
    rigid.SetTranslation([float(v) for v in shift * [-1, -1, 1]])
    return rigid


def _float32(volume: Volume) -> Volume:
    return Volume(volume.data.astype(np.float32), volume.affine)
