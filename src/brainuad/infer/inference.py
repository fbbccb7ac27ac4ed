"""One inference: from a bundle and an array cache to maps, scores and a run record."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from brainuad.config.section import Section
from brainuad.config.study import Compute
from brainuad.errors import InputError
from brainuad.formats import array_cache as array_caches
from brainuad.formats import bundle as bundles
from brainuad.formats import maps, names
from brainuad.formats.array_cache import ArrayCache
from brainuad.formats.files import atomic, atomic_folder
from brainuad.formats.maps import MapWriter
from brainuad.formats.run import Record
from brainuad.infer.maps import predict, reconstruction_similarity
from brainuad.methods import registry
from brainuad.methods.base import Sign
from brainuad.resources import recording

COLUMNS = ["scan", "subject", "role", "score"]


def infer(
    bundle: Path,
    array_cache: Path,
    map_settings: Section | Mapping[str, Any],
    lesion_sign: Sign,
    compute: Compute,
    out: Path,
    tags: Mapping[str, str],
) -> None:
    """Write the anomaly maps of the validation and test scans of an array cache to the folder `out`, all or none.

    Writes anomaly maps, reconstructions if the method has them, `scores.tsv` and `run.json`. Raises InputError if the
    array cache is on another grid than the training scans.
    """
    torch.set_num_threads(compute.threads)
    trained = bundles.read(bundle)
    data = array_caches.read(array_cache)
    _same_grid(trained, data, array_cache)
    scans = data.select("validation", "test")
    method = registry.load_method(trained, map_settings)
    method.to(compute.accelerator)
    content = map_settings.model_dump(mode="json") if isinstance(map_settings, Section) else dict(map_settings)
    settings = {"map": content, "lesion_sign": lesion_sign, "model": trained.about["model"]}
    record = Record("infer", dict(tags), settings, trained.about["seed"], trained.about["arrays_sha256"])
    rows: list[tuple[str, str, str, float]] = []
    similarities: list[dict[str, float]] = []
    with atomic_folder(out) as folder, recording.recorded(folder, record), ThreadPoolExecutor(1) as writer:
        files = MapWriter(folder, scans.affine, scans.naming)
        names.describe_dataset(folder, "Anomaly maps", tags)
        written: list[Future[None]] = []  # compressing lets the next scan's computation run beside it
        for scan, image, brain in zip(scans.scans, scans.images, scans.brains, strict=True):
            result = predict(method, np.asarray(image), np.asarray(brain), scans.spacing, lesion_sign)
            written.append(writer.submit(files.anomaly, scan.scan, result.anomaly))
            if result.reconstruction is not None:
                written.append(writer.submit(files.reconstruction, scan.scan, result.reconstruction))
                similarities.append(
                    reconstruction_similarity(np.asarray(image), result.reconstruction, np.asarray(brain))
                )
            rows.append((scan.scan, scan.subject, scan.role, result.score))
        for future in written:
            future.result()
        with atomic(folder / maps.SCORES) as part:
            pd.DataFrame(rows, columns=COLUMNS).to_csv(part, sep="\t", index=False)
        names_of_means = similarities[0] if similarities else ()
        means = {
            f"reconstruction_{name}": float(np.mean([each[name] for each in similarities])) for name in names_of_means
        }
        slices = sum(int(np.asarray(brain).any((0, 1)).sum()) for brain in scans.brains)
        record.facts = {"scans": len(rows), "slices": slices, **means}


def _same_grid(trained: bundles.Bundle, data: ArrayCache, path: Path) -> None:
    shape, affine = tuple(trained.about["shape"]), np.asarray(trained.about["affine"])
    if data.images.shape[1:] != shape or not np.allclose(data.affine, affine, atol=1e-3):
        why = f"the model was trained on {shape} voxels, the array cache has {data.images.shape[1:]}"
        do = "normalize the data set with the recipe of the training"
        raise InputError("the array cache is on another grid than the model", file=path, why=why, do=do)
