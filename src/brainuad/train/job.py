"""One training: stores in, bundle and run record out."""

from __future__ import annotations

import hashlib
import json
import shutil
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from brainuad.cluster.stop import watching
from brainuad.config.model import AnyModel
from brainuad.config.study import Compute
from brainuad.errors import InputError
from brainuad.formats import array_cache, bundle
from brainuad.formats.array_cache import ArrayCache
from brainuad.formats.bundle import Bundle
from brainuad.formats.coding import Coded, Picked
from brainuad.formats.run import Record
from brainuad.methods import registry
from brainuad.methods.base import TrainingScans
from brainuad.methods.neural import NeuralMethod
from brainuad.resources import recording
from brainuad.resources.clock import Clock

RESUME = "resume"
SCALING = "scaling."
"""Prefix of the arrays that intensity scaling learnt, in the bundle."""


def train(
    array_caches: Sequence[Path], model: AnyModel, seed: int, compute: Compute, out: Path, tags: Mapping[str, str]
) -> None:
    """Fit a model on the training scans of healthy stores and write its bundle, `run.json` and `metrics.csv` to `out`.

    The `map` section of the model is not looked at. `out`/resume holds the checkpoint until the bundle is whole, in a
    folder of its settings and data: where these change for a while, the training goes on once they come back.
    Signals and the end of a Slurm job stop the training between two steps; the next call goes on from there.
    Raises InputError without training scans, for scans with lesions or other pathology, and for stores on different
    grids.
    """
    torch.set_num_threads(compute.threads)
    opened = [array_cache.read(path) for path in array_caches]
    training = _gathered(opened, array_caches, "train")
    if training is None:
        why = "no store holds a scan of the role train"
        raise InputError(
            "there is no training scan", file=array_caches[0] if array_caches else None, why=why, do=TRAINING
        )
    validation = _gathered(opened, array_caches, "validation")
    scans = [scan for part in opened for scan in part.select("train", "validation").scans]
    hashed = _hash([training, *([] if validation is None else [validation])])
    settings = model.model_dump(mode="json", exclude={"map"})
    record = Record("train", dict(tags), settings, seed, hashed)
    clock = Clock()
    with recording.recorded(out, record, clock):
        method = registry.build(model)
        if isinstance(method, NeuralMethod):
            from brainuad.train.fit import fit_network

            about_run = [settings, seed, hashed, compute.threads, compute.devices, torch.__version__]
            key = hashlib.sha256(json.dumps(about_run).encode()).hexdigest()
            label = " ".join(tags[name] for name in ("model", "seed") if name in tags)
            with watching() as watch:
                data = method, training, validation
                place = _resume(out / RESUME, key), key, label or "train"
                fitted = fit_network(*data, seed, compute, *place, watch=watch, clock=clock)
            record.curves, record.facts = fitted.curves, fitted.facts
            method.to(compute.accelerator)
        method.fit(training)
        record.facts |= {**method.facts(), "training_scans": len(training.images)}
        about: dict[str, Any] = {
            "model": settings,
            "intensity": opened[0].intensity,
            "affine": opened[0].affine.tolist(),
            "shape": list(training.images[0].shape),
            "seed": seed,
            "training": {
                "hash": hashed,
                "labels": [f"{scan.dataset}/{scan.scan}" for scan in scans if scan.role == "train"],
            },
            "versions": recording.versions(),
            "parameters": method.facts().get("parameters", 0),
        }
        scaling = {SCALING + name: array for name, array in opened[0].scaling.items()}
        bundle.write(out, Bundle({**method.state(), **scaling}, about))
    shutil.rmtree(out / RESUME, ignore_errors=True)


def _resume(folder: Path, key: str) -> Path:
    """Where the checkpoint of a training lies."""
    own = folder / key[:12]
    if folder.exists() and not own.exists():
        what = f"{folder} holds a training with other settings or data, which goes on when they come back"
        warnings.warn(f"{what}: this one starts from the beginning", stacklevel=2)
    return own


def _gathered(opened: Sequence[ArrayCache], paths: Sequence[Path], role: str) -> TrainingScans | None:
    """The scans of a role from all stores, still on disk."""
    images: list[tuple[np.ndarray | Coded, int]] = []
    brains: list[np.ndarray] = []
    first = opened[0] if opened else None
    for part, path in zip(opened, paths, strict=True):
        same = first is not None and part.images.shape[1:] == first.images.shape[1:]
        if first is None or not same or not np.allclose(part.affine, first.affine):
            do = "preprocess all training sets with one recipe"
            raise InputError("the training stores are on different grids", file=path, do=do)
        masks = {"lesions": array_cache.read_lesions(path), "other pathology": array_cache.read_ignored(path)}
        for i, (scan, brain) in enumerate(zip(part.scans, part.brains, strict=True)):
            if scan.role != role:
                continue
            for name, marked in masks.items():
                if marked is not None and (count := int(marked[i].sum())):
                    what = f"{scan.scan} is not healthy, but is to train a model"
                    raise InputError(what, file=path, why=f"its mask of {name} marks {count} voxels", do=HEALTHY)
            images.append((part.images, i))
            brains.append(brain)
    return TrainingScans(Picked(images), brains, first.spacing) if first is not None and images else None


def _hash(parts: Sequence[TrainingScans]) -> str:
    """Of all voxels that training and validation see, in order."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(f"{len(part.images)} {part.spacing}".encode())
        for image, brain in zip(part.images, part.brains, strict=True):
            digest.update(np.ascontiguousarray(image).data)
            digest.update(np.ascontiguousarray(brain).data)
    return digest.hexdigest()


TRAINING = (
    "give one healthy data set a split with train above 0, and see the table beside its store for scans that were lost"
)
HEALTHY = "give the data set the role test, or exclude the subject"
