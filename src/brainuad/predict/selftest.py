"""The self-test of a model file: a phantom, and numbers that its map must give on any machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import nibabel as nib
import numpy as np

from brainuad.formats import leftovers
from brainuad.formats.raw import RawVolume
from brainuad.formats.volume import Volume
from brainuad.images.contrasts import SUFFIX, Contrast
from brainuad.images.phantom import make_phantom
from brainuad.predict.found import Given
from brainuad.predict.model import Model

PHANTOM: dict[str, Any] = {"seed": 20, "lesions": "none", "spacing": 3.0}
TOLERANCE = 0.01
"""Relative: processors differ in the last digits, which the registration of the phantom amplifies."""
LEAST = 1e-4
"""Absolute, for numbers near 0."""


@dataclass(frozen=True)
class Number:
    """A number of the self-test, as the file states it and as it is here."""

    name: str
    stated: float
    found: float
    tolerance: float

    @property
    def fits(self) -> bool:
        """Whether the two are equal within the tolerance."""
        return abs(self.found - self.stated) <= max(LEAST, self.tolerance * abs(self.stated))


def make(model: Model) -> dict[str, Any] | None:
    """The self-test of a model: settings and numbers; None for a modality of which there are no phantoms.

    Of further sequences without phantoms the test is one without these.
    """
    contrasts = _contrasts(model)
    if model.manifest.modality not in contrasts or not {*contrasts} & model.seen:
        return None
    phantom = {**PHANTOM, "contrast": contrasts[model.manifest.modality]}
    return {"phantom": phantom, "numbers": _numbers(model, phantom), "tolerance": TOLERANCE}


def run(model: Model, stated: Mapping[str, Any]) -> list[Number]:
    """The numbers of a self-test, compared."""
    found, tolerance = _numbers(model, stated["phantom"]), float(stated["tolerance"])
    return [Number(name, float(value), found[name], tolerance) for name, value in stated["numbers"].items()]


def _contrasts(model: Model) -> dict[str, Contrast]:
    """Contrasts of phantoms by sequence of the model."""
    known = {suffix: contrast for contrast, suffix in SUFFIX.items()}
    return {name: cast(Contrast, known[name]) for name in model.sequences if name in known}


def _numbers(model: Model, phantom: Mapping[str, Any]) -> dict[str, float]:
    made = make_phantom(**phantom)
    with leftovers.temporary_folder() as folder:
        further: dict[str, Path] = {}
        for name, contrast in _contrasts(model).items():
            if name != model.manifest.modality:
                other = make_phantom(**{**phantom, "contrast": contrast})
                further[name] = folder / f"{name}.nii"
                nib.save(nib.Nifti1Image(other.image.astype(np.float32), other.affine), further[name])
        prepared = model.measured(RawVolume(Volume(made.image, made.affine)), Given(), further)
    image, brain = model.models_input(prepared)
    mapped = model.map(image, brain)
    values = mapped.anomaly[brain]
    return {
        "brain voxels": float(brain.sum()),
        "mean intensity": float(image[brain].mean()),
        "mean of the map": float(np.abs(values).mean()),
        "99th percentile of the map": float(np.percentile(values, 99)),
        "score": mapped.score,
    }
