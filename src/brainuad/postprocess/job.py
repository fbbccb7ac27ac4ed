"""postprocess, one model × seed × data set × chain: from maps to masks, with cuts that never saw a test scan."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from brainuad.config.postprocessing import Fixed, HealthyQuantile, Postprocessing, Threshold, ValDice
from brainuad.formats import array_cache as array_caches
from brainuad.formats import maps as files
from brainuad.formats import names, postprocessed, run
from brainuad.formats import thresholds as cuts
from brainuad.formats.files import atomic_folder
from brainuad.formats.thresholds import FoundThreshold
from brainuad.postprocess.apply import marked, process_map
from brainuad.postprocess.thresholds import best_dice, healthy_quantile
from brainuad.resources import recording

Values = Float[np.ndarray, "n"]


def postprocess(
    maps: Path,
    array_cache: Path,
    validation: Sequence[tuple[Path, Path]],
    healthy: Sequence[bool],
    postprocessing: Postprocessing,
    thresholds: Sequence[Threshold],
    out: Path,
    tags: Mapping[str, str],
) -> None:
    """Write masks of the test scans of one data set, and `thresholds.json`, into the folder `out`.

    `maps`, `store`: infer's folder and the store of the data set. `validation`: such pairs whose validation scans
    thresholds may see; `healthy`: whether each pair holds healthy subjects. Maps are written only if the chain changes
    them; evaluate otherwise reads infer's. Raises InputError for missing or foreign maps and for scans that are
    missing behind a rule.
    """
    settings = {
        "postprocessing": postprocessing.model_dump(mode="json"),
        "thresholds": [rule.model_dump(mode="json") for rule in thresholds],
    }
    with (
        atomic_folder(out) as folder,
        recording.recorded(folder, run.Record("postprocess", dict(tags), settings)) as record,
    ):
        found = find_cuts(validation, healthy, postprocessing, thresholds)
        cuts.write(folder, found)
        postprocessed.write(folder, changes_maps=bool(postprocessing.on_map()))
        opened = array_caches.read(array_cache)
        writer = files.MapWriter(folder, opened.affine, opened.naming)
        names.describe_dataset(folder, "Predicted masks", tags)
        steps = postprocessing.on_mask()
        for i, anomaly, brain in processed(maps, opened, "test", postprocessing):
            scan = opened.scans[i].scan
            if postprocessing.on_map():
                writer.processed(scan, anomaly)
            for rule, cut in found.items():
                if cut.value is not None:
                    writer.mask(scan, marked(anomaly, brain, cut.value, steps), rule, cut)
        record.facts["thresholds"] = {rule: cut.value for rule, cut in found.items()}


def find_cuts(
    validation: Sequence[tuple[Path, Path]],
    healthy: Sequence[bool],
    postprocessing: Postprocessing,
    rules: Sequence[Threshold],
) -> dict[str, FoundThreshold]:
    """The cut of each rule, by its label. Only validation scans are opened, and lesions only for `val_dice`."""
    pairs = list(zip(validation, healthy, strict=True))
    well = [pair for pair, is_healthy in pairs if is_healthy]
    ill = [pair for pair, is_healthy in pairs if not is_healthy]
    pooled = (
        _pooled(well, postprocessing, lesions=False)
        if any(isinstance(rule, HealthyQuantile) for rule in rules)
        else None
    )
    found: dict[str, FoundThreshold] = {}
    for rule in rules:
        match rule:
            case HealthyQuantile():
                assert pooled is not None
                value = healthy_quantile(pooled.normal, rule.quantile)
                found[rule.label] = FoundThreshold(value, "unsupervised", pooled.scans)
            case ValDice():
                labelled = _pooled(ill, postprocessing, lesions=True)
                if labelled.lesion.size:
                    value = best_dice(labelled.lesion, labelled.normal)
                    found[rule.label] = FoundThreshold(value, "labelled validation", labelled.scans)
                else:
                    note = "left out: the study has no validation scan with lesions"
                    found[rule.label] = FoundThreshold(None, "labelled validation", note=note)
            case Fixed():
                found[rule.label] = FoundThreshold(rule.value, "paper constant")
    return found


def processed(
    maps: Path, opened: array_caches.ArrayCache, role: str, postprocessing: Postprocessing
) -> Iterator[tuple[int, Float[np.ndarray, "x y z"], Bool[np.ndarray, "x y z"]]]:
    """The rows of a role's scans, their maps after the chain's map operators, and their brains, one by one."""
    for i, scan in enumerate(opened.scans):
        if scan.role == role:
            image, brain = np.asarray(opened.images[i]), np.asarray(opened.brains[i])
            anomaly = files.read_map(files.anomaly_path(maps, scan.scan), brain.shape)
            yield i, process_map(anomaly, image, brain, opened.spacing, postprocessing.on_map()), brain


@dataclass(frozen=True)
class _Pooled:
    """Brain voxels of validation scans: values of the map outside and in lesions."""

    normal: Values
    lesion: Values
    scans: tuple[str, ...]


def _pooled(pairs: Sequence[tuple[Path, Path]], postprocessing: Postprocessing, lesions: bool) -> _Pooled:
    normal, lesion, names = [np.zeros(0, np.float32)], [np.zeros(0, np.float32)], []
    for maps, path in pairs:
        opened = array_caches.read(path)
        truths, ignored = array_caches.read_lesions(path) if lesions else None, array_caches.read_ignored(path)
        for i, anomaly, brain in processed(maps, opened, "validation", postprocessing):
            truth = np.zeros_like(brain) if truths is None else np.asarray(truths[i])
            scored = brain if ignored is None else brain & ~np.asarray(ignored[i])
            normal.append(anomaly[scored & ~truth])
            lesion.append(anomaly[scored & truth])
            names.append(f"{opened.scans[i].dataset}/{opened.scans[i].scan}")
    return _Pooled(np.concatenate(normal), np.concatenate(lesion), tuple(names))
