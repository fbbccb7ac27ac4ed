"""evaluate: first each model × seed × data set, with all its chains, then the tables of the study."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from brainuad.config.postprocessing import Threshold
from brainuad.config.study import Evaluate
from brainuad.errors import InputError
from brainuad.evaluate import comparisons
from brainuad.evaluate.peak import find_peak
from brainuad.evaluate.pooled import Spool
from brainuad.evaluate.scan import Facts, Truth, map_values, mask_counts, truth
from brainuad.evaluate.scan_level import scan_level_rows
from brainuad.evaluate.tables import (
    Cases,
    Maps,
    Masks,
    Postprocessing,
    Row,
    lesion_rows,
    map_rows,
    mask_rows,
    peak_rows,
    scan_rows,
)
from brainuad.formats import array_cache as array_caches
from brainuad.formats import maps as files
from brainuad.formats import run, tables
from brainuad.formats import thresholds as cuts
from brainuad.formats.files import atomic_folder
from brainuad.resources import recording

FILES = {
    "metrics.tsv": tables.METRICS,
    "scans.tsv": tables.SCANS,
    "lesions.tsv": tables.LESIONS,
    "curves.tsv": tables.CURVES,
}
"""What each job writes, and `summarise` joins."""


def evaluate(
    maps: Path,
    posts: Mapping[str, Path],
    array_cache: Path,
    healthy_scores: Sequence[tuple[Path, Path]],
    settings: Evaluate,
    thresholds: Sequence[Threshold],
    out: Path,
    tags: Mapping[str, str],
    located: Sequence[str] = (),
) -> None:
    """Score the test scans of one data set under every chain; write tables and `run.json` into the folder `out`.

    `maps`: infer's folder; `posts`: postprocess's folder by chain; `healthy_scores`: infer's folder and store of each
    healthy data set, same model and seed, for the scan level; `thresholds`: the study's rules; `tags`: at least model,
    seed and dataset; `located`: chains that leave one component, in which the peak of the map is sought. Without test
    scans the tables are empty. Raises InputError for missing or foreign maps, masks and scores.
    """
    record = run.Record("evaluate", dict(tags), settings.model_dump(mode="json"), seed=int(tags["seed"]))
    with atomic_folder(out) as folder, recording.recorded(folder, record):
        rows: dict[str, list[Row]] = {name: [] for name in FILES}
        if any(scan.role == "test" for scan in array_caches.read(array_cache).scans):
            with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".spool-") as spool:
                cases, postprocessings = _score(
                    maps, posts, array_cache, healthy_scores, settings, thresholds, located, Path(spool)
                )
                rows = _rows(cases, postprocessings)
                record.facts["scans"] = len(cases.scans)
        common = {"model": tags["model"], "seed": int(tags["seed"]), "dataset": tags["dataset"]}
        for name, columns in FILES.items():
            table = pd.DataFrame([{**common, **row} for row in rows[name]], columns=list(columns))
            tables.write(folder / name, table, columns)


def summarise(folders: Sequence[Path], settings: Evaluate, baselines: Sequence[str], out: Path) -> None:
    """Join the tables of all jobs into `out`, in the order of their labels, and add `comparisons.tsv`.

    `baselines`: labels of the trivial baselines, with which each other model is compared.
    """
    joined: dict[str, pd.DataFrame] = {}
    for name, columns in FILES.items():
        parts = [part for folder in folders if len(part := tables.read(folder / name, columns))]
        whole = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=list(columns))
        joined[name] = whole.sort_values(["dataset", "model", "seed"], kind="stable", ignore_index=True)
        tables.write(out / name, joined[name], columns)
    compared = comparisons.compare(joined["scans.tsv"], baselines, settings.bootstrap)
    tables.write(out / "comparisons.tsv", compared, tables.COMPARISONS)


def _rows(cases: Cases, postprocessings: Mapping[str, Postprocessing]) -> dict[str, list[Row]]:
    rows: dict[str, list[Row]] = {name: [] for name in FILES}
    known: dict[int, tuple[list[Row], list[Row]]] = {}  # chains that leave the maps alone share their bootstraps
    whole = scan_level_rows(cases)
    for label, postprocessing in postprocessings.items():
        if id(postprocessing.maps) not in known:
            known[id(postprocessing.maps)] = map_rows(postprocessing.maps, cases)
        metrics, curves = known[id(postprocessing.maps)]
        new = {"metrics.tsv": [*metrics, *whole, *peak_rows(postprocessing, cases)], "curves.tsv": curves}
        new |= {"scans.tsv": scan_rows(postprocessing, cases), "lesions.tsv": []}
        for rule, made in postprocessing.masks.items():
            new["metrics.tsv"] += mask_rows(rule, made, cases)
            new["lesions.tsv"] += lesion_rows(rule, made, cases)
        for name in FILES:
            rows[name] += [{"postprocessing": label, **row} for row in new[name]]
    return rows


def _score(
    maps: Path,
    posts: Mapping[str, Path],
    array_cache: Path,
    healthy_scores: Sequence[tuple[Path, Path]],
    settings: Evaluate,
    thresholds: Sequence[Threshold],
    located: Sequence[str],
    folder: Path,
) -> tuple[Cases, dict[str, Postprocessing]]:
    """Count every test scan under every chain, scan by scan. `folder`: for values that would fill the memory."""
    opened, lesions, ignored = (
        array_caches.read(array_cache),
        array_caches.read_lesions(array_cache),
        array_caches.read_ignored(array_cache),
    )
    rows = [i for i, scan in enumerate(opened.scans) if scan.role == "test"]
    others = [pair for pair in healthy_scores if pair[0].resolve() != maps.resolve()]
    healthy = [score for pair in others for score in _scores(*pair, "test", healthy=True)]
    validation = [score for pair in others for _, score in _scores(*pair, "validation", healthy=True)]
    scans: list[Facts] = []
    cases = Cases(scans, [score for _, score in _scores(maps, array_cache, "test")], healthy, validation, settings)
    sources: dict[Path, Maps] = {}
    postprocessings: dict[str, Postprocessing] = {}
    source_of: dict[str, Path] = {}
    for label, post in posts.items():
        source = post if any(files.processed_path(post, opened.scans[i].scan).exists() for i in rows) else maps
        if source not in sources:
            (folder / label).mkdir()
            sources[source] = Maps(Spool(folder / label))
        postprocessings[label] = Postprocessing(sources[source], _masks(post, thresholds), label in located)
        source_of[label] = source
    voxel_ml = float(np.prod(opened.spacing)) / 1000
    for i in rows:
        scan, brain = opened.scans[i].scan, np.asarray(opened.brains[i])
        left_out = None if ignored is None else np.asarray(ignored[i])
        seen = truth(opened.scans[i], brain, np.asarray(lesions[i]), voxel_ml, settings, left_out)
        scans.append(seen.facts)
        cases.residuals.append(_residual(files.reconstruction_path(maps, scan), np.asarray(opened.images[i]), seen))
        anomalies: dict[Path, np.ndarray] = {}
        for source, scored in sources.items():
            path = files.anomaly_path(maps, scan) if source == maps else files.processed_path(source, scan)
            anomalies[source] = files.read_map(path, brain.shape)
            values = map_values(anomalies[source], seen)
            scored.spool.add(values)
            scored.areas.append((values.auprc, values.auroc))
        for label, postprocessing in postprocessings.items():
            marked = {
                rule: files.read_mask(files.mask_path(posts[label], scan, rule), brain.shape)
                for rule in postprocessing.masks
            }
            for rule, made in postprocessing.masks.items():
                made.counts.append(mask_counts(marked[rule], seen, settings))
            among = marked.get(postprocessing.peak_rule)
            postprocessing.peaks.append(
                find_peak(anomalies[source_of[label]], seen, opened.affine, settings.peak_mm, among)
            )
    return cases, postprocessings


def _masks(post: Path, thresholds: Sequence[Threshold]) -> dict[str, Masks]:
    """By rule, in the study's order; rules that found no cut are left out."""
    found = cuts.read(post)
    values = [(rule.label, found[rule.label].value) for rule in thresholds if rule.label in found]
    return {rule: Masks(value) for rule, value in values if value is not None}


def _scores(maps: Path, array_cache: Path, role: str, healthy: bool = False) -> list[tuple[str, float]]:
    """(person, score) of the scans in a role, in the store's order; of `healthy` ones without other pathology alone."""
    scores = files.read_scores(maps)
    rows = [
        scan for scan in array_caches.read(array_cache).scans if scan.role == role and not (healthy and scan.ignore)
    ]
    for scan in rows:
        if scan.scan not in scores:
            raise InputError(f"{scan.scan} has no score", file=maps / files.SCORES, do="run infer again")
    return [(scan.person, scores[scan.scan]) for scan in rows]


def _residual(path: Path, image: np.ndarray, seen: Truth) -> float:
    """Root mean square of scan minus reconstruction in the scored brain; NaN without a reconstruction."""
    if not path.exists() or not seen.scored.any():
        return np.nan
    difference = (image - files.read_map(path, image.shape))[seen.box][seen.scored]
    return float(np.sqrt(np.square(difference, dtype=np.float64).mean()))
