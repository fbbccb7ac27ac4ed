"""All seeds of a study's model as one: the mean of their maps, with thresholds and scores of its own.

Each map counts in the units in which infer writes it. The score of a scan is the mean of the scores of its seeds.
"""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from brainuad.formats import array_cache, maps
from brainuad.formats.files import atomic
from brainuad.formats.maps import MapWriter
from brainuad.formats.thresholds import FoundThreshold
from brainuad.infer.maps import Prediction
from brainuad.layout import Layout
from brainuad.methods.base import Image
from brainuad.postprocess.find_thresholds import ValidationSet, Voxels, find_thresholds


def in_words(seeds: Sequence[int]) -> str:
    """`seed 0`, or `mean of the seeds 0, 1, 2`."""
    listed = ", ".join(map(str, seeds))
    return f"seed {listed}" if len(seeds) == 1 else f"mean of the seeds {listed}"


def mean(made: Sequence[Prediction]) -> Prediction:
    """The prediction of all seeds from that of each; of one seed its own, bit by bit."""
    if len(made) == 1:
        return made[0]
    rebuilt = [each.reconstruction for each in made if each.reconstruction is not None]
    return Prediction(
        _mean([each.anomaly for each in made]),
        _mean(rebuilt) if rebuilt else None,
        float(np.mean([each.score for each in made])),
    )


def write_means(layout: Layout, model: str, dataset: str, out: Path) -> Path:
    """Write the mean maps and scores of a data set's validation and calibration scans to the new folder `out`.

    Raises InputError for a seed without maps, and for maps that are altered or of other scans.
    """
    opened = array_cache.read(layout.array_cache(dataset))
    folders = [layout.maps(model, seed, dataset) for seed in layout.study.seeds]
    for seed, folder in zip(layout.study.seeds, folders, strict=True):
        maps.checked(folder, {"model": model, "seed": str(seed), "dataset": dataset}, array_cache=opened.seal)
    scores = [maps.read_scores(folder) for folder in folders]
    out.mkdir(parents=True)
    writer = MapWriter(out, opened.affine, opened.naming)
    rows: list[tuple[str, float]] = []
    for row, scan in enumerate(opened.scans):
        if scan.role in ("validation", "calibration"):
            shape = opened.brain(row).shape
            made = [
                Prediction(maps.read_map(maps.anomaly_path(folder, scan.scan), shape), None, each[scan.scan])
                for folder, each in zip(folders, scores, strict=True)
            ]
            both = mean(made)
            writer.anomaly(scan.scan, both.anomaly)
            rows.append((scan.scan, both.score))
    with atomic(out / maps.SCORES) as part, part.open("w", newline="") as file:
        csv.writer(file, delimiter="\t", lineterminator="\n").writerows([("scan", "score"), *rows])
    writer.finish([maps.SCORES], {"model": model, "dataset": dataset}, array_cache=opened.seal)
    return out


def thresholds_of(layout: Layout, means: Mapping[str, Path], dataset: str, label: str) -> dict[str, FoundThreshold]:
    """The thresholds of mean maps, found as postprocess finds those of each seed. `label`: of the postprocessing."""
    study = layout.study
    roles = study.threshold_sets(dataset)
    sets = [
        ValidationSet(means[name], layout.array_cache(name), study.datasets[name].healthy, role)
        for name, role in roles.items()
    ]
    with tempfile.TemporaryDirectory(prefix="brainuad-") as values:
        voxels = Voxels(study.postprocessing[label], study.evaluate.erode_voxels, Path(values))
        return find_thresholds(sets, study.thresholds, voxels)


def _mean(images: Sequence[Image]) -> Image:
    return np.asarray(np.mean(images, axis=0, dtype=np.float64), dtype=np.float32)
