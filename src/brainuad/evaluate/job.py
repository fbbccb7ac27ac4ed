"""evaluate: first each model × seed × data set, with all its chains, then the tables of the study."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from brainuad.config.chain import Threshold
from brainuad.config.study import Evaluate
from brainuad.errors import InputError
from brainuad.evaluate import comparisons
from brainuad.evaluate.pooled import Spool
from brainuad.evaluate.scan import Facts, map_values, mask_counts, truth
from brainuad.evaluate.tables import Cases, Maps, Masks, Row, lesion_rows, map_rows, mask_rows, scan_rows
from brainuad.formats import maps as files
from brainuad.formats import run, tables
from brainuad.formats import store as stores
from brainuad.formats import thresholds as cuts
from brainuad.formats.files import atomic_folder

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
    store: Path,
    healthy_scores: Sequence[tuple[Path, Path]],
    settings: Evaluate,
    thresholds: Sequence[Threshold],
    out: Path,
    tags: Mapping[str, str],
) -> None:
    """Score the test scans of one data set under every chain; write tables and `run.json` into the folder `out`.

    `maps`: infer's folder; `posts`: postprocess's folder by chain; `healthy_scores`: infer's folder and store of each
    healthy data set, same model and seed, for the scan level; `thresholds`: the study's rules; `tags`: at least model,
    seed and dataset. Without test scans the tables are empty. Raises InputError for missing or foreign maps, masks and
    scores.
    """
    record = run.Record("evaluate", dict(tags), settings.model_dump(mode="json"), seed=int(tags["seed"]))
    with atomic_folder(out) as folder, run.recorded(folder, record):
        rows: dict[str, list[Row]] = {name: [] for name in FILES}
        if any(scan.role == "test" for scan in stores.read(store).scans):
            with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".spool-") as spool:
                cases, chains = _score(maps, posts, store, healthy_scores, settings, thresholds, Path(spool))
                rows = _rows(cases, chains)
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


def _rows(cases: Cases, chains: Mapping[str, tuple[Maps, dict[str, Masks]]]) -> dict[str, list[Row]]:
    rows: dict[str, list[Row]] = {name: [] for name in FILES}
    known: dict[int, tuple[list[Row], list[Row]]] = {}  # chains that leave the maps alone share their bootstraps
    for label, (maps, masks) in chains.items():
        if id(maps) not in known:
            known[id(maps)] = map_rows(maps, cases)
        metrics, curves = known[id(maps)]
        new = {"metrics.tsv": list(metrics), "scans.tsv": scan_rows(maps, masks, cases), "curves.tsv": curves}
        new["lesions.tsv"] = []
        for rule, made in masks.items():
            new["metrics.tsv"] += mask_rows(rule, made, cases)
            new["lesions.tsv"] += lesion_rows(rule, made, cases)
        for name in FILES:
            rows[name] += [{"chain": label, **row} for row in new[name]]
    return rows


def _score(
    maps: Path,
    posts: Mapping[str, Path],
    store: Path,
    healthy_scores: Sequence[tuple[Path, Path]],
    settings: Evaluate,
    thresholds: Sequence[Threshold],
    folder: Path,
) -> tuple[Cases, dict[str, tuple[Maps, dict[str, Masks]]]]:
    """Count every test scan under every chain, scan by scan. `folder`: for values that would fill the memory."""
    opened, lesions = stores.read(store), stores.read_lesions(store)
    rows = [i for i, scan in enumerate(opened.scans) if scan.role == "test"]
    others = [pair for pair in healthy_scores if pair[0].resolve() != maps.resolve()]
    healthy = [score for pair in others for score in _test_scores(*pair)]
    scans: list[Facts] = []
    cases = Cases(scans, [score for _, score in _test_scores(maps, store)], healthy, settings)
    sources: dict[Path, Maps] = {}
    chains: dict[str, tuple[Maps, dict[str, Masks]]] = {}
    for label, post in posts.items():
        source = post if any(files.processed_path(post, opened.scans[i].scan).exists() for i in rows) else maps
        if source not in sources:
            (folder / label).mkdir()
            sources[source] = Maps(Spool(folder / label))
        chains[label] = sources[source], _masks(post, thresholds)
    voxel_ml = float(np.prod(opened.spacing)) / 1000
    for i in rows:
        scan, brain = opened.scans[i].scan, np.asarray(opened.brains[i])
        seen = truth(opened.scans[i], brain, np.asarray(lesions[i]), voxel_ml, settings)
        scans.append(seen.facts)
        for source, scored in sources.items():
            path = files.anomaly_path(maps, scan) if source == maps else files.processed_path(source, scan)
            values = map_values(files.read_map(path, brain.shape), seen)
            scored.spool.add(values)
            scored.areas.append((values.auprc, values.auroc))
        for label, (_, masks) in chains.items():
            for rule, made in masks.items():
                mask = files.read_mask(files.mask_path(posts[label], scan, rule), brain.shape)
                made.counts.append(mask_counts(mask, seen, settings))
    return cases, chains


def _masks(post: Path, thresholds: Sequence[Threshold]) -> dict[str, Masks]:
    """By rule, in the study's order; rules that found no cut are left out."""
    found = cuts.read(post)
    values = [(rule.label, found[rule.label].value) for rule in thresholds if rule.label in found]
    return {rule: Masks(value) for rule, value in values if value is not None}


def _test_scores(maps: Path, store: Path) -> list[tuple[str, float]]:
    """(person, score) of the test scans, in the store's order."""
    scores = files.read_scores(maps)
    tested = [scan for scan in stores.read(store).scans if scan.role == "test"]
    for scan in tested:
        if scan.scan not in scores:
            raise InputError(f"{scan.scan} has no score", file=maps / files.SCORES, do="run infer again")
    return [(scan.person, scores[scan.scan]) for scan in tested]
