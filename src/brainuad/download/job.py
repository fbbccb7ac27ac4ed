"""The download stage: a data set on disk, with the table of its scans."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from brainuad.config.datasets import AnyScans, Bids, Known, Phantoms, Table
from brainuad.download.bids import look
from brainuad.download.converted import convert
from brainuad.download.fetch import fetch as fetch_files
from brainuad.download.known import known_set, list_known, remember
from brainuad.download.listing import read_page
from brainuad.download.phantom import make_dataset
from brainuad.download.table import read_table
from brainuad.errors import InputError
from brainuad.formats import files, scans
from brainuad.formats.run import Record
from brainuad.formats.scans import Scan, changed
from brainuad.resources import recording


def fetch(label: str, settings: Known, note: Path) -> None:
    """Download a known data set into its own folder, where its scans are not there already, and write `note`."""
    dataset = known_set(settings.source)
    if list_known(label, settings) is None:
        fetch_files(dataset.listed(settings, read_page), settings.folder, dataset.about.home)
        remember(settings.folder, dataset.remotes(settings))
    files.write_json(note, {"dataset": label, "source": settings.source})


def download(label: str, settings: AnyScans, table: Path, workers: int) -> None:
    """Write `table`, and beside it what has to be made: phantoms, in `workers` processes, or files converted.

    Scans that lie in files stay where they are.
    """
    with recording.recorded(table.parent, Record("download", {"dataset": label}, _told(settings))):
        if isinstance(settings, Bids):
            found = look(label, settings)
            rows = found.scans + found.failed
        elif isinstance(settings, Table):
            listed = read_table(label, settings)
            rows = listed.scans
            _tell(listed.notes)
        elif isinstance(settings, Known):
            rows = _known(label, settings, table.parent)
        else:
            kind = (settings.modality, settings.lesions, settings.spacing)
            make_dataset(table.parent, settings.subjects, settings.seed, *kind, workers=workers)
            # excluded ones too: split leaves them out
            names = [f"sub-{i:03d}" for i in range(1, settings.subjects + 1)]
            rows = [_phantom(Scan(name, name, label), table.parent, settings) for name in names]
        scans.write(table, rows)


def _tell(notes: list[str]) -> None:
    for note in notes:
        sys.stderr.write(f"note: {note}\n")


def _told(settings: AnyScans) -> dict[str, Any]:
    """Settings for the record: no paths, which name machines and people."""
    return settings.model_dump(mode="json", exclude={"root", "file"})


def _known(label: str, settings: Known, folder: Path) -> list[Scan]:
    """The rows, excluded ones too, converted where the set needs it; a scan that cannot be is a failed row."""
    dataset = known_set(settings.source)
    rows = list_known(label, settings.model_copy(update={"exclude": []}))  # split leaves the excluded out
    if rows is None:
        raise InputError(f"{label} is not downloaded yet", file=settings.folder, do="type `snakemake download` first")
    _tell(dataset.look(label, settings).notes)
    if not dataset.converts:
        return rows
    return convert(label, dataset, rows, folder)


def _phantom(row: Scan, folder: Path, settings: Phantoms) -> Scan:
    place = folder / row.scan / ("ct" if settings.modality == "ct" else "anat")
    mask = "" if settings.healthy else str(place / f"{row.scan}_desc-lesion_mask.nii.gz")
    return changed(row, image=str(place / f"{row.scan}_{settings.modality}.nii.gz"), mask=mask)
