"""One inference: from a bundle and an array cache to maps, scores and a run record."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

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
from brainuad.infer.maps import Prediction, combine, in_own_units, nothing_to_map, predict, reconstruction_similarity
from brainuad.methods import registry
from brainuad.methods.base import Sign
from brainuad.resources import recording

COLUMNS = ["scan", "subject", "role", "score"]


@dataclass(frozen=True)
class MapMaking:
    """How maps are made of a trained model.

    `settings`: its `map` section; `erode_voxels`: of the brain's rim, not scored; `members`: folders with the maps of
    the models that an ensemble combines, in the order of its settings; `lesion_sign`: by sequence, if a model sees
    several.
    """

    settings: Section | Mapping[str, Any]
    lesion_sign: Sign | Mapping[str, Sign]
    erode_voxels: int = 0
    members: Sequence[Path] = ()

    @property
    def signs(self) -> Mapping[str, Sign]:
        """Of the lesions by sequence; none where a model sees one."""
        return {} if isinstance(self.lesion_sign, str) else self.lesion_sign

    @property
    def sign(self) -> Sign:
        """Of the lesions in a sequence that `signs` does not name."""
        return self.lesion_sign if isinstance(self.lesion_sign, str) else "both"

    @property
    def content(self) -> dict[str, Any]:
        """The `map` section as plain values."""
        return self.settings.model_dump(mode="json") if isinstance(self.settings, Section) else dict(self.settings)


def infer(
    bundle: Path, array_cache: Path, making: MapMaking, compute: Compute, out: Path, tags: Mapping[str, str]
) -> None:
    """Write the anomaly maps of all but the training scans of an array cache to the folder `out`, all or none.

    Writes anomaly maps, reconstructions if the method has them, `scores.tsv` and `run.json`. Raises InputError if the
    array cache is on another grid than the training scans, or maps of members are missing or of other scans.
    """
    trained = bundles.read(bundle)
    data = array_caches.read(array_cache, trained.sequences)
    if tags.get("seed", str(trained.about["seed"])) != str(trained.about["seed"]):
        why = f"it was trained with seed {trained.about['seed']}, the job has seed {tags['seed']}"
        raise InputError("the bundle is that of another training", file=bundle, why=why, do=bundles.AGAIN)
    _require_fit(trained, data, array_cache)
    if "dataset" in tags:
        array_caches.require_data_set(array_cache, tags["dataset"])
    scans = data.select("validation", "calibration", "test")
    method = registry.load_method(trained, making.content, making.signs)
    registry.use_threads(compute.threads)
    method.to(compute.accelerator)
    made_of = _made_of(trained, data, making.members, tags)
    signs = making.lesion_sign if isinstance(making.lesion_sign, str) else dict(making.lesion_sign)
    settings = {"map": making.content, "lesion_sign": signs, "model": trained.about["model"]}
    record = Record("infer", dict(tags), settings, trained.about["seed"], trained.about["arrays_sha256"])
    rows: list[tuple[str, str, str, float]] = []
    similarities: list[dict[str, float]] = []
    with atomic_folder(out) as folder, recording.recorded(folder, record), ThreadPoolExecutor(1) as writer:
        files = MapWriter(folder, scans.affine, scans.naming)
        names.describe_dataset(folder, "Anomaly maps", tags)
        written: list[Future[None]] = []  # compressing lets the next scan's computation run beside it
        slices = 0
        for row, scan in enumerate(scans.scans):
            image, brain = scans.image(row), scans.brain(row)
            if data.sequences and nothing_to_map(making.content, data.sequences, scan.missing_sequences):
                result = Prediction(np.zeros(brain.shape, np.float32), None, 0.0)
            elif making.members:
                parts = [maps.read_map(maps.anomaly_path(each, scan.scan), brain.shape) for each in making.members]
                result = combine(method, parts, image, brain, making.erode_voxels)
            else:
                result = predict(method, image, brain, scans.spacing, making.sign)
            if making.content.get("per_scan") == "robust":
                result = in_own_units(method, result, image, brain, making.erode_voxels)
            slices += int(brain.any((0, 1)).sum())
            written.append(writer.submit(files.anomaly, scan.scan, result.anomaly))
            if result.reconstruction is not None:
                written.append(writer.submit(files.reconstruction, scan.scan, result.reconstruction))
                first = image if image.ndim == brain.ndim else image[..., 0]  # of several sequences
                similarities.append(reconstruction_similarity(first, result.reconstruction, brain))
            rows.append((scan.scan, scan.subject, scan.role, result.score))
        for future in written:
            future.result()
        with atomic(folder / maps.SCORES) as part, part.open("w", newline="") as file:
            csv.writer(file, delimiter="\t", lineterminator="\n").writerows([COLUMNS, *rows])
        files.finish([maps.SCORES], tags, array_cache=data.seal, bundle=made_of)
        names_of_means = similarities[0] if similarities else ()
        means = {
            f"reconstruction_{name}": float(np.mean([each[name] for each in similarities])) for name in names_of_means
        }
        record.facts = {"scans": len(rows), "slices": slices, **means}


def _made_of(trained: bundles.Bundle, data: ArrayCache, members: Sequence[Path], tags: Mapping[str, str]) -> str:
    """What names the bundle that maps are made of; for an ensemble, its own and those of its members.

    Raises InputError if the maps of a member are of another model, seed or data set, or of other scans.
    """
    labels = trained.about["model"].get("of", [])
    own = str(trained.about["arrays_sha256"])
    if not members:
        return own
    parts = [own]
    for label, folder in zip(labels, members, strict=True):
        made = maps.checked(folder, {**tags, "model": label}, array_cache=data.seal).made_of
        parts.append(made.get("bundle", ""))
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()


def _require_fit(trained: bundles.Bundle, data: ArrayCache, path: Path) -> None:
    """Raises InputError unless scans and training have one grid, template and intensity scaling."""
    shape, affine = tuple(trained.about["shape"]), np.asarray(trained.about["affine"])
    do = "normalize the data set with the recipe of the training"
    if data.shape != shape or not np.allclose(data.affine, affine, atol=1e-3):
        off = np.abs(data.affine - affine).max()
        why = f"the model was trained on {shape} voxels, the array cache has {data.shape}"
        why += f"; their affines differ by up to {off:g}" if off else ""
        raise InputError("the array cache is on another grid than the model", file=path, why=why, do=do)
    if data.scans and trained.about["template"] != data.naming.template:
        why = f"the model was trained in {trained.about['template']}, the array cache is in {data.naming.template}"
        raise InputError("the array cache is in another space than the model", file=path, why=why, do=do)
    if why := _difference(trained, data):
        raise InputError("the array cache has other intensities than the model", file=path, why=why, do=do)


def _difference(trained: bundles.Bundle, data: ArrayCache) -> str:
    """How the intensity scalings of model and array cache differ; empty where they are one."""
    theirs, ours = trained.about["intensity"], data.intensity
    for key in sorted(theirs.keys() | ours.keys()):
        if theirs.get(key) != ours.get(key):
            return f"{key} was {theirs.get(key)} in the training and is {ours.get(key)} in the array cache"
    learnt = trained.scaling
    for name in sorted(learnt.keys() | data.scaling.keys()):
        if name not in learnt or name not in data.scaling or not np.array_equal(learnt[name], data.scaling[name]):
            return f"{name} was learnt from other training scans"
    return ""
