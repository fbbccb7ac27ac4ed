"""`thresholds.json`: the cut that each threshold rule found, and the scans that it was found on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from brainuad.errors import InputError
from brainuad.formats.files import read_json, write_json

NAME = "thresholds.json"


@dataclass(frozen=True)
class Cut:
    """A threshold: voxels above `value` are marked."""

    value: float | None
    """In units of the map, after the chain's map operators; None if the rule could not be used (`note` says why)."""
    kind: str
    """unsupervised, labelled validation or paper constant."""
    scans: tuple[str, ...] = ()
    """The validation scans behind it, as `<data set>/<scan>`."""
    note: str = ""


def write(folder: str | Path, cuts: Mapping[str, Cut]) -> None:
    """Write the cuts by rule."""
    write_json(Path(folder) / NAME, {rule: asdict(cut) for rule, cut in cuts.items()})


def read(folder: str | Path) -> dict[str, Cut]:
    """Read the cuts by rule; raises InputError for a missing or foreign file."""
    path = Path(folder) / NAME
    try:
        return {rule: Cut(**{**cut, "scans": tuple(cut["scans"])}) for rule, cut in read_json(path).items()}
    except (AttributeError, KeyError, TypeError) as error:
        raise InputError("cannot read the thresholds", file=path, why=str(error), do="run postprocess again") from None
