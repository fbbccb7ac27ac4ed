"""Maps, masks and scores of a model's scans in the folders of infer and postprocess, checked when read.

infer writes anomaly maps, reconstructions and `scores.tsv` (scan and score among its columns); postprocess writes maps,
where a postprocessing changes them, and a mask for each threshold rule. All lie on the array cache's grid; their names
are those of `formats.names`, their checksums lie beside them (`formats.checksums`).
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from brainuad.errors import InputError
from brainuad.formats import checksums, names, volume
from brainuad.formats.checksums import Checksums
from brainuad.formats.names import Naming
from brainuad.formats.thresholds import FoundThreshold

SCORES = "scores.tsv"
ANY = Naming()
"""For the name of a file that is not there."""


def anomaly_path(folder: Path, scan: str) -> Path:
    """The map that infer wrote; where there is none, a path that does not exist."""
    return _found(folder, names.anomaly_map(scan, ANY), scan, suffix="anomalymap")


def reconstruction_path(folder: Path, scan: str) -> Path:
    """What infer wrote beside the map; there only if the method has a reconstruction."""
    return _found(folder, names.reconstruction(scan, ANY), scan, desc="reconstruction")


def processed_path(folder: Path, scan: str) -> Path:
    """The map after the map operators of a postprocessing; there only if it has some."""
    return _found(folder, names.anomaly_map(scan, ANY, processed=True), scan, suffix="anomalymap", desc="postprocessed")


def mask_path(folder: Path, scan: str, rule: str) -> Path:
    """The mask that a threshold rule made."""
    return _found(folder, names.predicted_mask(scan, ANY, rule), scan, "mask", "lesion", names.rule_label(rule))


@dataclass(frozen=True)
class MapWriter:
    """Writes images of the scans of one array cache, each with its sidecar, into a folder of infer or postprocess.

    `finish` comes last: without the checksums no stage reads the images.
    """

    folder: Path
    affine: Float[np.ndarray, "4 4"]
    naming: Naming
    _written: dict[str, int] = field(default_factory=dict, init=False)

    def anomaly(self, scan: str, data: Float[np.ndarray, "x y z"]) -> None:
        """The map of infer."""
        self._write(names.anomaly_map(scan, self.naming), data, {"Description": "Anomaly map", **self._map(scan)})

    def reconstruction(self, scan: str, data: Float[np.ndarray, "x y z"]) -> None:
        """The scan as a model reconstructs it."""
        about = {"Description": "Reconstruction by a model, in normalised intensities", "SkullStripped": True}
        self._write(names.reconstruction(scan, self.naming), data, {**about, "Sources": self._sources(scan)})

    def processed(self, scan: str, data: Float[np.ndarray, "x y z"]) -> None:
        """The map after the map operators of a postprocessing."""
        about = {"Description": "Anomaly map, postprocessed", **self._map(scan)}
        self._write(names.anomaly_map(scan, self.naming, processed=True), data, about)

    def mask(self, scan: str, data: Bool[np.ndarray, "x y z"], rule: str, threshold: FoundThreshold) -> None:
        """The mask that the `threshold` of a rule makes of the map."""
        about = {
            "Description": "Predicted mask of lesions",
            "Type": "Lesion",
            "Sources": self._sources(scan),
            "ThresholdRule": rule,
            "Threshold": threshold.value,
            "ThresholdSource": threshold.source,
        }
        self._write(names.predicted_mask(scan, self.naming, rule), data, about)

    def finish(self, tables: Sequence[str], tags: Mapping[str, str], **made_of: str) -> None:
        """Write the checksums of the images and of `tables`, which lie beside them.

        `tags`: of the job; `made_of`: the `seal` of the array cache, the bundle, the maps.
        """
        files = checksums.of_files(self.folder, tables) | self._written
        checksums.write(self.folder, files, {**_told(tags), **made_of})

    def _map(self, scan: str) -> dict[str, Any]:
        return {"Units": "arbitrary; higher is more abnormal, 0 outside the brain", "Sources": self._sources(scan)}

    def _sources(self, scan: str) -> list[str]:
        return [names.preprocessed(scan, self.naming)]

    def _write(self, name: str, data: np.ndarray, about: Mapping[str, Any]) -> None:
        volume.write(self.folder / name, data, self.affine)
        names.write_sidecar(self.folder / name, self.naming, about)
        self._written[name] = checksums.of_file(self.folder / name)


def checked(folder: Path, tags: Mapping[str, str], **made_of: str) -> Checksums:
    """The record of a folder of infer or postprocess.

    Raises InputError if the folder is that of another model, seed, data set or postprocessing than the `tags` of the
    job say, or was made of something else than `made_of`.
    """
    record = checksums.read(folder)
    record.require(**_told(tags), **made_of)
    return record


def read_map(path: Path, shape: tuple[int, ...]) -> Float[np.ndarray, "x y z"]:
    """Read a map as float32; raises InputError if it is missing, altered, holds NaN or lies on another grid."""
    return _on_grid(path, volume.read(checksums.check(path), constant=True).data, shape)


def read_mask(path: Path, shape: tuple[int, ...]) -> Bool[np.ndarray, "x y z"]:
    """Read a mask; raises InputError as `read_map`."""
    return _on_grid(path, volume.read_mask(checksums.check(path)).data, shape)


def read_reconstruction(
    folder: Path, scan: str, naming: Naming, shape: tuple[int, ...]
) -> Float[np.ndarray, "x y z"] | None:
    """The reconstruction that infer wrote; None if it wrote none. Raises InputError as `read_map`."""
    name = names.reconstruction(scan, naming)
    return read_map(folder / name, shape) if name in checksums.read(folder).files else None


def read_scores(folder: Path) -> dict[str, float]:
    """Anomaly score by scan; raises InputError if the table is missing, altered, or a score is no number."""
    record = checksums.read(folder)
    path = record.check(folder / SCORES)
    try:
        with path.open(newline="") as table:
            scores = {row["scan"]: float(row["score"]) for row in csv.DictReader(table, delimiter="\t")}
    except (OSError, ValueError, KeyError, TypeError) as error:  # a row cut short has None
        raise record.refused("cannot read the scores", path, str(error)) from None
    if odd := [scan for scan, score in scores.items() if not np.isfinite(score)]:
        raise record.refused("a score is no number", path, ", ".join(odd))
    return scores


def _on_grid(path: Path, data: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    if data.shape != shape:
        why = f"it has the shape {data.shape}, the array cache {shape}"
        do = checksums.remedy(checksums.of(path).folder)
        raise InputError(f"{path.name} is not on the array cache's grid", file=path, why=why, do=do)
    return data


def _told(tags: Mapping[str, str]) -> dict[str, str]:
    return {name: tags[name] for name in ("model", "seed", "dataset", "postprocessing") if name in tags}


def _found(folder: Path, missing: str, scan: str, suffix: str = "", label: str = "", desc: str = "") -> Path:
    return names.find(folder, scan, suffix, label, desc) or folder / missing
