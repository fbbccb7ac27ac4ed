"""Which class reads which `source` of a study. Imported while the Snakefile is parsed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from brainuad.config.datasets import AnyScans, Bids, Known, OpenNeuro, Phantoms, Scans, Table
from brainuad.download.sources.bids import BidsSource
from brainuad.download.sources.known import KnownSource
from brainuad.download.sources.phantom import PhantomSource
from brainuad.download.sources.scan_source import ScanSource
from brainuad.download.sources.sessions import SessionSource
from brainuad.download.sources.table import TableSource

SOURCES: dict[type[Scans], Callable[[str, Any], ScanSource[Any]]] = {
    Bids: BidsSource,
    Table: TableSource,
    Phantoms: PhantomSource,
    Known: KnownSource,
    OpenNeuro: KnownSource,
}


def source_of(label: str, settings: AnyScans) -> ScanSource[Any]:
    """The source of a data set's scans. `label`: its name in the study."""
    make = SOURCES[type(settings)]
    joined = settings.sequences and not isinstance(settings, Table)  # a table has a column for each sequence
    return SessionSource(label, settings, make) if joined else make(label, settings)
