"""Rule `fetch`: download a known data set."""

from __future__ import annotations

from pathlib import Path

from brainuad.config.datasets import Known
from brainuad.download.known.known_set import known_set
from brainuad.download.sources.known import find_known_scans, record_fetched
from brainuad.download.transfer.files import fetch_files
from brainuad.download.transfer.server_lists import read_page
from brainuad.formats import files


def fetch(label: str, settings: Known, note: Path) -> None:
    """Download a known data set into its own folder if its scans are not there, and write `note`."""
    dataset = known_set(settings.source)
    if find_known_scans(label, settings) is None:
        fetch_files(dataset.files_to_download(settings, read_page), settings.folder, dataset.about.page)
        record_fetched(settings.folder, dataset.remotes(settings))
    files.write_json(note, {"dataset": label, "source": settings.source})
