"""Residual statistics of training scans by networks that were trained without them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from brainuad.config.network import TrainedSettings
from brainuad.formats.coding import Picked
from brainuad.methods import registry
from brainuad.methods.base import TrainingScans
from brainuad.methods.shared.residual import Residual, Statistics, accumulators
from brainuad.train.fit import TrainingRun, fit_network


def fold_of(subjects: Sequence[str], folds: int) -> list[int]:
    """The fold of each scan; all scans of a subject share it, and the folds are alike in size."""
    numbers = {subject: number % folds for number, subject in enumerate(dict.fromkeys(subjects))}
    return [numbers[subject] for subject in subjects]


def cross_fitted(
    model: TrainedSettings,
    subjects: Sequence[str],
    training: TrainingScans,
    held_out: TrainingScans | None,
    run: TrainingRun,
    sequences: Sequence[str] = (),
) -> dict[Residual, Statistics]:
    """Statistics of the residuals of each training scan by the network of its fold; of these the sd is used alone.

    `subjects`: of the training scans, in order. Every fold trains as the model does, with the same seed, and resumes
    from its own checkpoints.
    """
    gathered = accumulators(training.images[0].shape)
    of_scan = fold_of(subjects, model.train.crossfit)
    for fold in sorted(set(of_scan)):
        method = registry.build(model, sequences).neural()
        assert method is not None, "settings of a network build a network"
        name = f"fold-{fold + 1}"
        part = replace(run, folder=run.folder / name, key=f"{run.key}-{name}", label=f"{run.label} {name}")
        fit_network(method, _chosen(training, [other != fold for other in of_scan]), held_out, part)
        method.to(run.compute.accelerator)
        method.prepare(held_out)
        method.add_residuals(_chosen(training, [other == fold for other in of_scan]), gathered)
    return {residual_type: residuals.result() for residual_type, residuals in gathered.items()}


def _chosen(scans: TrainingScans, wanted: Sequence[bool]) -> TrainingScans:
    rows = [row for row, taken in enumerate(wanted) if taken]
    stored = scans.images
    # those on disk stay there
    images = (
        Picked([stored.places[row] for row in rows]) if isinstance(stored, Picked) else [stored[row] for row in rows]
    )
    return TrainingScans(images, [scans.brains[row] for row in rows], scans.spacing)
