"""The download stage: a data set on disk, with the table of its scans."""

from __future__ import annotations

from pathlib import Path

from brainuad.config.study import Folder, Phantoms
from brainuad.download.folder import list_scans, without_scan
from brainuad.download.phantom import make_dataset
from brainuad.formats import run, scans
from brainuad.formats.run import Record
from brainuad.formats.scans import Scan, changed


def download(label: str, settings: Folder | Phantoms, table: Path, workers: int) -> None:
    """Write `table`. Scans of a folder stay where they are; `workers` processes make phantoms beside the table."""
    with run.recorded(table.parent, Record("download", {"dataset": label}, settings.model_dump(mode="json"))):
        if isinstance(settings, Folder):
            rows = list_scans(label, settings)
            rows += without_scan(label, settings, rows)
        else:
            kind = (settings.modality, settings.lesions, settings.spacing)
            make_dataset(table.parent, settings.subjects, settings.seed, *kind, workers=workers)
            names = [
                f"sub-{i:03d}" for i in range(1, settings.subjects + 1)
            ]  # excluded ones too: split leaves them out
            rows = [_phantom(Scan(name, name, label), table.parent, settings) for name in names]
        scans.write(table, rows)


def _phantom(row: Scan, folder: Path, settings: Phantoms) -> Scan:
    place = folder / row.scan / ("ct" if settings.modality == "ct" else "anat")
    mask = "" if settings.healthy else str(place / f"{row.scan}_desc-lesion_mask.nii.gz")
    return changed(row, image=str(place / f"{row.scan}_{settings.modality}.nii.gz"), mask=mask)
