"""Scans that lie in a folder in BIDS order: which there are. Light enough to run while the Snakefile is parsed."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from fnmatch import fnmatch
from os.path import commonprefix
from pathlib import Path

from brainuad.config.datasets import Folder
from brainuad.errors import InputError
from brainuad.formats.scans import Scan


@dataclass(frozen=True)
class _Person:
    age: str = ""
    sex: str = ""
    site: str = ""


def list_scans(label: str, settings: Folder) -> list[Scan]:
    """The scans of a folder, sorted; excluded subjects are left out.

    Of several files of the modality in one session the plainest is taken: no contrast agent, then the shortest name.
    Raises InputError if the folder cannot be read, holds no such scan, or an excluded subject does not exist.
    """
    root = Path(settings.root)
    try:
        names = sorted(entry.name for entry in root.iterdir() if entry.is_dir() and entry.name.startswith("sub-"))
    except OSError as error:
        why, do = str(error.strerror), f"correct datasets.{label}.root or the folder's rights"
        raise InputError(f"cannot read the folder of {label}", file=root, why=why, do=do) from None
    if unknown := set(settings.exclude) - set(names):
        do = f"correct datasets.{label}.exclude"
        raise InputError(f"{sorted(unknown)[0]} is excluded but not in {label}", file=root, do=do)
    persons = _participants(root)
    scans = []
    for subject in names:
        if subject not in settings.exclude:
            person = persons.get(subject, _Person())
            scans += _scans_of(root / subject, label, settings, person)
    if not scans:
        why = f"no file matches sub-*/[ses-*/]{_subfolder(settings)}/*_{settings.modality}.nii.gz"
        raise InputError(f"{label} holds no scans", file=root, why=why, do=f"correct datasets.{label}")
    return scans


def without_scan(label: str, settings: Folder, found: list[Scan]) -> list[Scan]:
    """A failed row for each subject of the folder that has no scan of the modality, so that its absence is seen."""
    there = {scan.subject for scan in found} | set(settings.exclude)
    names = sorted(path.name for path in Path(settings.root).glob("sub-*") if path.is_dir())
    note = f"no *_{settings.modality}.nii.gz in {_subfolder(settings)}/"
    return [Scan(name, name, label, state="failed", note=note) for name in names if name not in there]


def _scans_of(folder: Path, label: str, settings: Folder, person: _Person) -> list[Scan]:
    sessions = [folder, *sorted(path for path in folder.glob("ses-*") if path.is_dir())]
    scans = []
    for session in sessions:
        place = session / _subfolder(settings)
        # a link that leads nowhere (a clone without its data) is no file
        images = [path for path in place.glob(f"*_{settings.modality}.nii*") if path.is_file()]
        if not images:
            continue
        image = min(images, key=lambda path: ("_ce-" in path.name, len(path.name), path.name))
        masks = [path for path in place.glob("*.nii*") if path.is_file() and fnmatch(path.name, settings.mask)]
        masks.sort(key=lambda path: (-len(commonprefix([path.name, image.name])), path.name))  # noqa: RUF071 - letters are meant
        name = folder.name if session is folder else f"{folder.name}_{session.name}"
        chosen = [f"{each[0].name} of {len(each)} files" for each in ([image, *images[1:]], masks) if len(each) > 1]
        note = "; ".join(chosen)
        scans.append(
            Scan(
                scan=name,
                subject=folder.name,
                dataset=label,
                image=str(image),
                mask=str(masks[0]) if masks else "",
                age=person.age,
                sex=person.sex,
                site=person.site,
                note=note,
            )
        )
    return scans


def _subfolder(settings: Folder) -> str:
    return "ct" if settings.modality == "ct" else "anat"


def _participants(root: Path) -> dict[str, _Person]:
    """Age, sex and site from `participants.tsv` in the folder, or in the one above it, if there is one."""
    for path, prefix in ((root / "participants.tsv", ""), (root.parent / "participants.tsv", f"{root.name}/")):
        if not path.is_file():
            continue
        with path.open(encoding="utf-8", errors="replace", newline="") as file:
            rows = list(csv.DictReader(file, delimiter="\t"))
        persons = {}
        for row in rows:
            name = row.get("participant_id") or row.get("participant") or ""
            if name.startswith(f"{prefix}sub-"):
                values = [(row.get(key) or "").replace("n/a", "") for key in ("age", "sex", "site")]
                persons[name.removeprefix(prefix)] = _Person(*values)
        return persons
    return {}
