"""One inference: bundle and store in, maps, scores and run record out."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from brainuad.config.model import AnyMap
from brainuad.config.study import Compute
from brainuad.errors import InputError
from brainuad.formats import array_cache as array_caches
from brainuad.formats import bundle as bundles
from brainuad.formats import maps, names
from brainuad.formats.array_cache import ArrayCache
from brainuad.formats.files import atomic, atomic_folder
from brainuad.formats.maps import MapWriter
from brainuad.formats.run import Record
from brainuad.infer.maps import fidelity, predict
from brainuad.methods import registry
from brainuad.methods.base import Sign
from brainuad.methods.neural import NeuralMethod
from brainuad.resources import recording

COLUMNS = ["scan", "subject", "role", "score"]


def infer(
    bundle: Path,
    array_cache: Path,
    map_settings: AnyMap | Mapping[str, Any],
    lesion_sign: Sign,
    compute: Compute,
    out: Path,
    tags: Mapping[str, str],
) -> None:
    """Map the validation and test scans of a store into the folder `out`, which is there whole or not at all.

    Anomaly maps, reconstructions where the method has them, `scores.tsv` and `run.json`.
    Raises InputError if the store is on another grid than the training scans.
    """
    torch.set_num_threads(compute.threads)
    trained = bundles.read(bundle)
    seen = array_caches.read(array_cache)
    _same_grid(trained, seen, array_cache)
    scans = seen.select("validation", "test")
    method = registry.load_method(trained, map_settings)
    if isinstance(method, NeuralMethod):
        method.to(compute.accelerator)
    shown = map_settings if isinstance(map_settings, Mapping) else map_settings.model_dump(mode="json")
    settings = {"map": dict(shown), "lesion_sign": lesion_sign, "model": trained.about["model"]}
    record = Record("infer", dict(tags), settings, trained.about["seed"], trained.about["arrays_sha256"])
    rows: list[tuple[str, str, str, float]] = []
    rebuilt: list[dict[str, float]] = []
    with atomic_folder(out) as folder, recording.recorded(folder, record), ThreadPoolExecutor(1) as writer:
        files = MapWriter(folder, scans.affine, scans.naming)
        names.describe_dataset(folder, "Anomaly maps", tags)
        written: list[Future[None]] = []  # compressing lets the next scan's computation run beside it
        for scan, image, brain in zip(scans.scans, scans.images, scans.brains, strict=True):
            found = predict(method, np.asarray(image), np.asarray(brain), scans.spacing, lesion_sign)
            written.append(writer.submit(files.anomaly, scan.scan, found.anomaly))
            if found.reconstruction is not None:
                written.append(writer.submit(files.reconstruction, scan.scan, found.reconstruction))
                rebuilt.append(fidelity(np.asarray(image), found.reconstruction, np.asarray(brain)))
            rows.append((scan.scan, scan.subject, scan.role, found.score))
        for future in written:
            future.result()
        with atomic(folder / maps.SCORES) as part:
            pd.DataFrame(rows, columns=COLUMNS).to_csv(part, sep="\t", index=False)
        means = {f"rebuilt_{key}": float(np.mean([each[key] for each in rebuilt])) for key in (rebuilt or [{}])[0]}
        slices = sum(int(np.asarray(brain).any((0, 1)).sum()) for brain in scans.brains)
        record.facts = {"scans": len(rows), "slices": slices, **means}


def _same_grid(trained: bundles.Bundle, seen: ArrayCache, path: Path) -> None:
    shape, affine = tuple(trained.about["shape"]), np.asarray(trained.about["affine"])
    if seen.images.shape[1:] != shape or not np.allclose(seen.affine, affine, atol=1e-3):
        why = f"the model was trained on {shape} voxels, the store has {seen.images.shape[1:]}"
        do = "normalize the data set with the recipe of the training"
        raise InputError("the store is on another grid than the model", file=path, why=why, do=do)
