"""`postprocessing.json`: whether a postprocessing changed the anomaly maps of a data set, beside the masks it made."""

from __future__ import annotations

from pathlib import Path

from brainuad.formats import checksums, maps
from brainuad.formats.files import read_json, write_json

NAME = "postprocessing.json"


def write(folder: Path, changes_maps: bool) -> None:
    """Say in postprocess's `folder` whether it holds maps of its own."""
    write_json(folder / NAME, {"changes_maps": changes_maps})


def changes_maps(folder: Path) -> bool:
    """Whether postprocess's `folder` holds maps of its own; raises InputError for a missing or altered file."""
    record = checksums.read(folder)
    path = record.check(folder / NAME)
    try:
        return bool(read_json(path)["changes_maps"])
    except (KeyError, TypeError) as error:
        raise record.refused("cannot read what the postprocessing did", path, f"it lacks {error}") from None


def map_path(inferred: Path, postprocessed: Path, scan: str) -> Path:
    """The map of a scan after postprocessing: postprocess's own if it changes maps, else infer's."""
    changed = changes_maps(postprocessed)
    return maps.processed_path(postprocessed, scan) if changed else maps.anomaly_path(inferred, scan)
