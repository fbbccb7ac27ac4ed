"""Former name, until the plan asks `source_of`."""

from __future__ import annotations

from brainuad.config.datasets import AnyScans
from brainuad.download.source_of import source_of
from brainuad.formats.scans import Scan


def list_scans(label: str, settings: AnyScans) -> list[Scan] | None:
    """The scans of a data set."""
    return source_of(label, settings).find_scans()
