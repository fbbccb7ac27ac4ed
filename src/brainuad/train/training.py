"""One training: from array caches to a bundle and a run record."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from logging import getLogger
from pathlib import Path
from typing import Any

import numpy as np

from brainuad.cluster.stop_monitor import stop_monitor
from brainuad.config.model import MethodSettings
from brainuad.config.network import TrainedSettings
from brainuad.config.study import Compute
from brainuad.errors import InputError
from brainuad.formats import array_cache, bundle
from brainuad.formats.array_cache import ArrayCache
from brainuad.formats.bundle import Bundle
from brainuad.formats.coding import Coded, Picked, Stacked
from brainuad.formats.run import Record
from brainuad.methods import registry
from brainuad.methods.base import TrainingScans
from brainuad.resources import recording
from brainuad.resources.clock import Clock

RESUME = "resume"
logger = getLogger(__name__)


def train(
    array_caches: Sequence[Path],
    model: MethodSettings,
    seed: int,
    compute: Compute,
    out: Path,
    tags: Mapping[str, str],
    sequences: Sequence[str] = (),
) -> None:
    """Train a model on the training scans of healthy array caches; write bundle, `run.json` and `metrics.csv` to `out`.

    `sequences`: that the model sees, where a scan has several.
    The `map` section of the model has no effect. `out`/resume holds the checkpoint until the bundle is complete, in a
    folder named by settings and data: if these change and change back, the training resumes. Signals and the end of a
    Slurm job stop the training between two steps; the next call resumes there. Raises InputError without training
    scans, for scans with lesions or other pathology, and for array caches on different grids.
    """
    opened = [array_cache.read(path, sequences) for path in array_caches]
    training = _gathered(opened, array_caches, "train")
    if training is None:
        why = "no array cache holds a scan of the role train"
        raise InputError(
            "there is no training scan", file=array_caches[0] if array_caches else None, why=why, do=TRAINING
        )
    validation = _gathered(opened, array_caches, "validation")
    scans = [scan for part in opened for scan in part.select("train", "validation").scans]
    hashed = _hash(opened)
    settings = model.model_dump(mode="json", exclude={"map"})
    record = Record("train", dict(tags), settings, seed, hashed)
    clock = Clock()
    with recording.recorded(out, record, clock):
        method = registry.build(model, sequences)
        registry.use_threads(compute.threads)
        method.initialise(seed)
        if (neural := method.neural()) is not None:
            import torch  # late: it takes longer to load than a method without a network to fit

            from brainuad.train.crossfit import cross_fitted
            from brainuad.train.fit import TrainingRun, fit_network

            about_run = [settings, seed, hashed, compute.threads, compute.devices, torch.__version__]
            key = hashlib.sha256(json.dumps(about_run).encode()).hexdigest()
            label = " ".join(tags[name] for name in ("model", "seed") if name in tags) or "train"
            with stop_monitor() as monitor:
                this = TrainingRun(seed, compute, _resume_folder(out / RESUME, key), key, label, monitor, clock)
                fitted = fit_network(neural, training, validation, this)
                if isinstance(model, TrainedSettings) and model.train.crossfit:
                    subjects = [f"{scan.dataset}/{scan.subject}" for scan in scans if scan.role == "train"]
                    neural.crossfit = cross_fitted(model, subjects, training, validation, this, sequences)
            record.curves, record.facts = fitted.curves, fitted.facts
        method.to(compute.accelerator)
        if model.learns or len(sequences) > 1:
            method.fit(training, validation)
        record.facts |= {**method.facts(), "training_scans": len(training.images)}
        about: dict[str, Any] = {
            "model": settings,
            "intensity": opened[0].intensity,
            "affine": opened[0].affine.tolist(),
            "shape": list(opened[0].shape),
            "template": opened[0].naming.template,
            "seed": seed,
            "trained_as": f"{tags.get('model', 'model')}/{bundle.SEED}{seed}",
            "training": {
                "hash": hashed,
                "labels": [f"{scan.dataset}/{scan.scan}" for scan in scans if scan.role == "train"],
            },
            "versions": recording.versions(),
            "parameters": method.facts().get("parameters", 0),
            **({"sequences": list(sequences)} if sequences else {}),
        }
        scaling = {bundle.SCALING + name: array for name, array in opened[0].scaling.items()}
        bundle.write(out, Bundle({**method.state(), **scaling}, about))
    shutil.rmtree(out / RESUME, ignore_errors=True)


def _resume_folder(folder: Path, key: str) -> Path:
    """The folder of a training's checkpoints."""
    own = folder / key[:12]
    if folder.exists() and not own.exists():
        what = "holds a training with other settings or data, which resumes when these are restored"
        logger.warning("%s %s: this one starts from the beginning", folder, what)
    return own


def _gathered(opened: Sequence[ArrayCache], paths: Sequence[Path], role: str) -> TrainingScans | None:
    """The scans of a role from all array caches, still on disk."""
    images: list[tuple[np.ndarray | Coded | Stacked, int]] = []
    brains: list[np.ndarray] = []
    first = opened[0] if opened else None
    for part, path in zip(opened, paths, strict=True):
        same = first is not None and part.shape == first.shape
        if first is None or not same or not np.allclose(part.affine, first.affine):
            do = "preprocess all training sets with one recipe"
            raise InputError("the training array caches are on different grids", file=path, do=do)
        if part.intensity != first.intensity or not _equal(part.scaling, first.scaling):
            raise InputError("the training array caches have intensities of different scalings", file=path, do=SCALED)
        masks = {"lesions": array_cache.read_lesions(path), "other pathology": array_cache.read_ignored(path)}
        for i, (scan, brain) in enumerate(zip(part.scans, part.brains, strict=True)):
            if scan.role != role:
                continue
            for name, mask in masks.items():
                if mask is not None and (count := int(mask[i].sum())):
                    what = f"{scan.scan} is not healthy, and cannot train a model"
                    raise InputError(what, file=path, why=f"its mask of {name} has {count} voxels", do=HEALTHY)
            images.append((part.images, i))
            brains.append(brain)
    return TrainingScans(Picked(images), brains, first.spacing) if first is not None and images else None


def _equal(one: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


def _hash(opened: Sequence[ArrayCache]) -> str:
    """Hash of all voxels of training and validation, in order, from their checksums, once these are verified."""
    parts = []
    for role in ("train", "validation"):
        for part in (each.select(role) for each in opened):
            array = part.images.parts[0] if isinstance(part.images, Stacked) else part.images
            coding = asdict(array.coding) if isinstance(array, Coded) else None
            sums = {name: volumes.checked() for name, volumes in part.stored.items()}
            parts.append([part.images.shape[1:], part.spacing, coding, sums])
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


TRAINING = (
    "give one healthy data set a split with train above 0, and see the table beside its array cache for excluded scans"
)
SCALED = "delete the array caches of this study and run the same command again"
HEALTHY = "give the data set the role test, or exclude the subject"
