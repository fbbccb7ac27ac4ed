"""`scaling.safetensors`: what the intensity scaling learns from a study's training scans, and the grid of these."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from brainuad.config.recipe import Intensity, Normalize
from brainuad.errors import InputError
from brainuad.formats import tensors
from brainuad.formats.array_cache import scaling_by_sequence
from brainuad.normalize.grid import Window, window
from brainuad.normalize.intensity import Scaling, fit
from brainuad.normalize.source import Source, TrainingImages

SHAPE, AFFINE = "grid.shape", "grid.affine"
"""Names of two arrays: the grid of the training scans, which every data set shares."""


def fit_scaling(sources: Sequence[Source], settings: Intensity, out: Path) -> None:
    """Write `out`, fitted on the training scans of `sources`, each sequence by itself.

    Raises InputError if there is none.
    """
    training = TrainingImages([(source, row) for source in sources for row in source.rows("train")])
    if not training.rows:
        do = f"see the notes in {sources[0].table}; repair or add subjects"
        raise InputError("no healthy training subject is left", do=do)
    source, row = training.rows[0]
    first = source.read(row)
    grid = {SHAPE: np.array(first.brain.shape), AFFINE: first.affine}
    learnt = fit(training, settings)
    if sequences := sources[0].sequences:
        others = {name: fit(TrainingImages(training.rows, name), settings) for name in sequences[1:]}
        learnt = scaling_by_sequence({sequences[0]: learnt, **others})
    tensors.write(out, {**learnt, **grid})


def read_scaling(path: Path, settings: Normalize) -> tuple[Scaling, Window]:
    """What the scaling learnt, and the part of the grid that models see; raises InputError for an altered file."""
    scaling = tensors.read(path, f"delete {path} and run the same command again, which makes it anew")
    x, y, z = scaling.pop(SHAPE).tolist()
    return scaling, window((x, y, z), scaling.pop(AFFINE), settings)
