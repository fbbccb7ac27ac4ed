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
    """Download a known data set into its own folder if its scans are not there, and write `note`.

    Of several sequences each is looked for: some data sets have them in files of their own.
    """
    dataset = known_set(settings.source)
    for modality in (settings.modality, *settings.sequences):
        part = settings.model_copy(update={"modality": modality, "sequences": []})
        if find_known_scans(label, part) is None:
            fetch_files(dataset.files_to_download(part, read_page), part.folder, dataset.about.page)
            record_fetched(part.folder, dataset.remotes(part))
    files.write_json(note, {"dataset": label, "source": settings.source})
