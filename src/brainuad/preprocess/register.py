"""Affine registration of a scan to the template: one function, several backends."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from brainuad.config.recipe import Registration
from brainuad.formats.transform import Affine
from brainuad.formats.volume import Volume
from brainuad.images.template import Template
from brainuad.preprocess.head import RegistrationInput, moving

Matrix = Float[np.ndarray, "4 4"]
Backend = Callable[[RegistrationInput, Template, Matrix | None], Matrix]


def register(scan: Volume, template: Template, settings: Registration, modality: str, stripped: bool) -> Affine:
    """The affine from the template's world to the scan's (mm), by `settings.backend`, then `settings.polish`.

    `modality`: BIDS suffix; `ct` is clipped to 0 to 80 HU first. `stripped`: the scan holds a brain alone, so the
    search starts at its middle and not under the vertex of a head. Raises InputError when no head is found.
    """
    return align(moving(scan, modality, stripped), template, settings)


def align(seen: RegistrationInput, template: Template, settings: Registration) -> Affine:
    """As `register`, for a scan that is made ready already."""
    matrix = _backend(settings.backend)(seen, template, None)
    if settings.polish != "none":
        matrix = _backend(settings.polish)(seen, template, matrix)
    return Affine(matrix)


def _backend(name: str) -> Backend:
    if name == "nmi_search":
        from brainuad.preprocess.nmi_search import search

        return lambda moving, template, _: search(moving, template)
    from brainuad.preprocess import itk

    return {"simpleitk": itk.simpleitk, "ants": itk.ants_affine}[name]
