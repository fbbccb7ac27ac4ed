"""`thresholds.json`: the threshold that each threshold rule found, and the scans that it was found on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from brainuad.formats import checksums
from brainuad.formats.files import read_json, write_json

NAME = "thresholds.json"


@dataclass(frozen=True)
class FoundThreshold:
    """A threshold: voxels above `value` are predicted."""

    value: float | None
    """In units of the map, after the map operators; None if the rule could not be used (`note` says why)."""
    source: str
    """unsupervised, labelled validation or paper constant."""
    scans: tuple[str, ...] = ()
    """The validation scans behind it, as `<data set>/<scan>`."""
    note: str = ""


def write(folder: str | Path, thresholds: Mapping[str, FoundThreshold]) -> None:
    """Write the thresholds by rule."""
    write_json(Path(folder) / NAME, {rule: asdict(threshold) for rule, threshold in thresholds.items()})


def read(folder: str | Path) -> dict[str, FoundThreshold]:
    """Read the thresholds by rule; raises InputError for a missing, altered or foreign file."""
    record = checksums.read(Path(folder))
    path = record.check(Path(folder) / NAME)
    try:
        found = {
            rule: FoundThreshold(**{**threshold, "scans": tuple(threshold["scans"])})
            for rule, threshold in read_json(path).items()
        }
    except (AttributeError, KeyError, TypeError) as error:
        raise record.refused("cannot read the thresholds", path, f"{type(error).__name__}: {error}") from None
    if odd := [rule for rule, each in found.items() if each.value is not None and not math.isfinite(each.value)]:
        raise record.refused("a threshold is no number", path, ", ".join(odd))
    return found
