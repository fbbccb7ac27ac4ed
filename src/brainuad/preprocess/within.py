"""Two scans of one person in one session: where a point of the one lies in the other."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
from jaxtyping import Float
from scipy import ndimage

from brainuad.errors import InputError
from brainuad.formats.volume import Volume, same_grid
from brainuad.preprocess import itk
from brainuad.preprocess.head import RegistrationInput

Matrix = Float[np.ndarray, "4 4"]
GAIN = 0.02
"""Share by which mutual information must rise over what the headers give before these are overruled."""


def between(reference: Volume, scan: Volume, reference_seen: RegistrationInput, scan_seen: RegistrationInput) -> Matrix:
    """The rigid transform from the guide's world to the scan's (mm): the identity where their grids are one.

    Else mutual information decides, from the headers' word and from the two heads' own places; the headers stand
    where nothing better is found. `guide_seen`, `scan_seen`: the two as `head.moving` prepares them. Raises InputError
    where the two never overlap.
    """
    return np.eye(4) if same_grid(reference, scan) else rigid(reference_seen, scan_seen)


def rigid(reference: RegistrationInput, scan: RegistrationInput) -> Matrix:
    """As `between`, for scans on different grids."""
    import SimpleITK

    SimpleITK.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    head = ndimage.binary_dilation(reference.volume.data > 0.05)
    fixed, mask = (
        itk.to_itk(_floats(reference.volume)),
        itk.to_itk(Volume(head.astype(np.uint8), reference.volume.affine)),
    )
    moving = itk.to_itk(_floats(scan.volume))
    apart = (scan.start - scan.anchor) - (reference.start - reference.anchor)
    best, found = -np.inf, None
    with suppress(RuntimeError):  # by the headers the two do not meet at all
        best, found = itk.information(fixed, mask, moving, _euler(reference, np.zeros(3))) * (1 + GAIN), np.eye(4)
    for shift in (np.zeros(3), apart):
        turn = _euler(reference, shift)
        with suppress(RuntimeError):
            for sigma, share in ((8.0, 0.05), (4.0, 0.05), (2.0, 0.05)):
                itk.optimise(fixed, mask, moving, turn, (sigma,), share)
            reached = itk.information(fixed, mask, moving, turn)
            if reached > best:
                best, found = reached, itk.from_itk(turn)
    if found is None:
        do = "correct the header of one of them, or leave register_with out"
        raise InputError("the scan and the one it is registered with do not meet", do=do)
    return found


def _euler(reference: RegistrationInput, shift: Float[np.ndarray, "3"]) -> object:
    """A shift (mm) as a rigid transform of ITK about the middle of the guide's head."""
    import SimpleITK

    turn = SimpleITK.Euler3DTransform()
    turn.SetCenter([float(v) for v in reference.start * [-1, -1, 1]])
    turn.SetTranslation([float(v) for v in shift * [-1, -1, 1]])
    return turn


def _floats(volume: Volume) -> Volume:
    return Volume(volume.data.astype(np.float32), volume.affine)
