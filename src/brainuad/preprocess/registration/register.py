"""Affine registration of a scan to the template: one function, several backends."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from brainuad.config.recipe import Registration
from brainuad.formats.transform import Affine
from brainuad.images.template import Template
from brainuad.preprocess.registration.input import RegistrationInput

Matrix = Float[np.ndarray, "4 4"]
Backend = Callable[[RegistrationInput, Template, Matrix | None], Matrix]


def register(moving: RegistrationInput, template: Template, settings: Registration) -> Affine:
    """The affine from the template's world to the scan's (mm), by `settings.backend`, then by `settings.polish`."""
    matrix = _backend(settings.backend)(moving, template, None)
    if settings.polish != "none":
        matrix = _backend(settings.polish)(moving, template, matrix)
    return Affine(matrix)


def _backend(name: str) -> Backend:
    if name == "nmi_search":
        from brainuad.preprocess.registration.nmi_search import search

        return lambda moving, template, _: search(moving, template)
    from brainuad.preprocess.registration import itk

    return {"simpleitk": itk.simpleitk, "ants": itk.ants_affine}[name]
