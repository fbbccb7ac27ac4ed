"""The scans of a data set of any kind: which there are. Light enough to run while the Snakefile is parsed."""

from __future__ import annotations

from brainuad.config.datasets import AnyScans, Bids, Known, Phantoms, Table
from brainuad.download.bids import look
from brainuad.download.known import list_known
from brainuad.download.table import read_table
from brainuad.formats.scans import Scan


def list_scans(label: str, settings: AnyScans) -> list[Scan] | None:
    """The scans, excluded subjects left out; None for a set that can be downloaded and is not there yet."""
    if isinstance(settings, Bids):
        return look(label, settings).scans
    if isinstance(settings, Table):
        return read_table(label, settings).scans
    return list_known(label, settings) if isinstance(settings, Known) else _phantoms(label, settings)


def _phantoms(label: str, settings: Phantoms) -> list[Scan]:
    names = [f"sub-{i:03d}" for i in range(1, settings.subjects + 1)]
    return [Scan(scan=name, subject=name, dataset=label) for name in names if name not in settings.exclude]
