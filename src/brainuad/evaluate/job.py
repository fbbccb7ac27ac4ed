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
from brainuad.evaluate.scan import MapValues, Truth, map_values, mask_counts, truth
from brainuad.evaluate.tables import Row, Scored, lesion_rows, metric_rows, scan_rows, table
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
    seed and dataset. Raises InputError for missing or foreign maps, masks and scores, and without test scans.
    """
    record = run.Record("evaluate", dict(tags), settings.model_dump(mode="json"), seed=int(tags["seed"]))
    with atomic_folder(out) as folder, run.recorded(folder, record):
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".spool-") as spool:
            chains = _scored(maps, posts, store, _healthy(healthy_scores, maps), settings, thresholds, Path(spool))
            rows: dict[str, list[Row]] = {name: [] for name in FILES}
            for label, chain in chains.items():
                metrics, curves = metric_rows(chain, settings)
                scans, lesions = scan_rows(chain, settings), lesion_rows(chain, settings)
                for name, new in zip(FILES, (metrics, scans, lesions, curves), strict=True):
                    rows[name] += [{"chain": label, **row} for row in new]
        common = {"model": tags["model"], "seed": int(tags["seed"]), "dataset": tags["dataset"]}
        for name, columns in FILES.items():
            tables.write(folder / name, table(rows[name], common, columns), columns)
        record.facts["scans"] = len(next(iter(chains.values())).truths) if chains else 0


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


def _scored(
    maps: Path,
    posts: Mapping[str, Path],
    store: Path,
    healthy: list[tuple[str, float]],
    settings: Evaluate,
    thresholds: Sequence[Threshold],
    folder: Path,
) -> dict[str, Scored]:
    opened, lesions, scores = stores.read(store), stores.read_lesions(store), files.read_scores(maps)
    rows = [i for i, scan in enumerate(opened.scans) if scan.role == "test"]
    if not rows:
        raise InputError("the data set has no test scan", file=store, do="give it a test share, or leave it out")
    voxel_ml = float(np.prod(opened.spacing)) / 1000
    truths: list[Truth] = []
    kept: list[float] = []
    chains: dict[str, Scored] = {}
    for label, post in posts.items():
        found = cuts.read(post)
        values = {rule.label: found[rule.label].value for rule in thresholds if rule.label in found}
        used = {rule: value for rule, value in values.items() if value is not None}
        (folder / label).mkdir()
        chains[label] = Scored(truths, kept, healthy, Spool(folder / label), used, masks={rule: [] for rule in used})
    for i in rows:
        scan, brain = opened.scans[i], np.asarray(opened.brains[i])
        if scan.scan not in scores:
            raise InputError(f"{scan.scan} has no score", file=maps / files.SCORES, do="run infer again")
        truths.append(truth(scan, brain, np.asarray(lesions[i]), voxel_ml, settings))
        kept.append(scores[scan.scan])
        taken: dict[Path, MapValues] = {}  # chains that leave the map alone share it
        for label, chain in chains.items():
            path = files.processed_path(posts[label], scan.scan)
            path = path if path.exists() else files.anomaly_path(maps, scan.scan)
            if path not in taken:
                taken[path] = map_values(files.read_map(path, brain.shape), truths[-1])
            chain.spool.add(taken[path])
            chain.areas.append((taken[path].auprc, taken[path].auroc))
            for rule, counted in chain.masks.items():
                mask = files.read_mask(files.mask_path(posts[label], scan.scan, rule), brain.shape)
                counted.append(mask_counts(mask, truths[-1], settings))
    return chains


def _healthy(pairs: Sequence[tuple[Path, Path]], own: Path) -> list[tuple[str, float]]:
    """(subject, score) of the healthy test scans outside the data set under evaluation."""
    found: list[tuple[str, float]] = []
    for maps, store in pairs:
        if maps.resolve() != own.resolve():
            scores = files.read_scores(maps)
            tested = [scan for scan in stores.read(store).scans if scan.role == "test"]
            found += [(scan.subject, scores[scan.scan]) for scan in tested if scan.scan in scores]
    return found
