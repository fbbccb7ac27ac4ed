"""postprocess, one model × seed × data set × postprocessing: from maps to masks; no threshold sees a test scan."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from brainuad.config.postprocessing import Postprocessing
from brainuad.formats import array_cache as array_caches
from brainuad.formats import checksums, names, postprocessed, run, thresholds
from brainuad.formats import maps as files
from brainuad.formats.checksums import Checksums
from brainuad.formats.files import atomic_folder
from brainuad.postprocess import kernels
from brainuad.postprocess.apply import predicted_mask, processed_maps
from brainuad.postprocess.find_thresholds import Thresholding, ValidationSet, Voxels, find_thresholds
from brainuad.resources import recording

if TYPE_CHECKING:
    from brainuad.postprocess.postprocess_job import PostprocessInputs


def postprocess(
    inputs: PostprocessInputs,
    thresholding: Thresholding,
    postprocessing: Postprocessing,
    out: Path,
    tags: Mapping[str, str],
) -> None:
    """Write masks of the test scans of one data set and `thresholds.json` into the folder `out`.

    Maps are written only if the
    postprocessing changes them, which `postprocessing.json` says; evaluate otherwise reads infer's. Raises InputError
    for missing or foreign maps, and for a rule without the scans that it needs.
    """
    seen = inputs.validation_maps, inputs.validation_array_caches, thresholding.healthy, thresholding.roles
    settings = {
        "postprocessing": postprocessing.model_dump(mode="json"),
        "thresholds": [rule.model_dump(mode="json") for rule in thresholding.rules],
    }
    with (
        atomic_folder(out) as folder,
        recording.recorded(folder, run.Record("postprocess", dict(tags), settings)) as record,
    ):
        opened, record_of_maps = array_caches.read(inputs.array_cache), _checked(inputs, tags)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".values-") as values:
            sets = [ValidationSet(*each) for each in zip(*seen, strict=True)]
            voxels = Voxels(postprocessing, thresholding.erode_voxels, Path(values))
            found = find_thresholds(sets, thresholding.rules, voxels)
        thresholds.write(folder, found)
        postprocessed.write(folder, changes_maps=bool(postprocessing.on_map()))
        writer = files.MapWriter(folder, opened.affine, opened.naming)
        names.describe_dataset(folder, "Predicted masks", tags)
        steps = postprocessing.on_mask()
        for row, anomaly, brain in processed_maps(inputs.maps, opened, "test", postprocessing.on_map()):
            scan = opened.scans[row].scan
            if postprocessing.on_map():
                writer.processed(scan, anomaly)
            for rule, threshold in found.items():
                if threshold.value is not None:
                    predicted = predicted_mask(anomaly, brain, opened.spacing, threshold.value, steps)
                    writer.mask(scan, predicted, rule, threshold)
        kept = (thresholds.NAME, postprocessed.NAME)
        writer.finish(kept, tags, array_cache=opened.seal, maps=record_of_maps.seal)
        record.facts["thresholds"] = {rule: threshold.value for rule, threshold in found.items()}
        record.facts["operators"] = kernels.on_grid(postprocessing.operators, opened.spacing)


def _checked(inputs: PostprocessInputs, tags: Mapping[str, str]) -> Checksums:
    """The record of the maps; raises InputError unless those of all data sets are of one bundle and their scans."""
    record = files.checked(inputs.maps, tags, array_cache=checksums.read(inputs.array_cache).seal)
    same = {name: tags[name] for name in ("model", "seed") if name in tags}
    bundle = {name: value for name, value in record.made_of.items() if name == "bundle"}
    for maps, cache in zip(inputs.validation_maps, inputs.validation_array_caches, strict=True):
        files.checked(maps, same, array_cache=checksums.read(cache).seal, **bundle)
    return record
