"""The scans that a prediction is asked for: one file, a folder of NIfTI files, a BIDS data set, a DICOM folder.

For a model that takes several sequences, sessions of these: `brainuad.predict.joined` puts them together.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from brainuad.config.datasets import Bids
from brainuad.config.paths import misread
from brainuad.config.told import listed
from brainuad.download.sources import bids_names as names
from brainuad.download.sources import words
from brainuad.download.sources.bids import read_bids
from brainuad.errors import InputError
from brainuad.formats.names import DATATYPES
from brainuad.formats.pointers import content_missing
from brainuad.predict import joined
from brainuad.predict.asked import Input, Inputs, Wanted

CONVERTER = "dcm2niix"
KEPT = ("sub", "ses", "acq", "rec", "run")
"""Entities of a file's name that make the label of its scan."""
MAGIC_PLACE, MAGIC, TRIED = 128, b"DICM", 50
"""Where a DICOM file says that it is one; in how many files of a folder this is looked for."""


def find(paths: Sequence[Path], wanted: Wanted, work: Path) -> Inputs:
    """The scans at a path, or the files of one session. `work`: an existing folder for files made from DICOM.

    Raises InputError if there is none, and for files that are no session.
    """
    if gone := [path for path in paths if not path.exists()]:
        raise InputError("the scan or folder is not there", file=gone[0], do="correct the path after -i")
    if len(paths) > 1:
        return Inputs([joined.of_files_of_one(paths, wanted)])
    path = paths[0]
    if path.is_file() and wanted.further:
        why = f"it maps sessions with {listed(wanted.sequences)}"
        do = "name the other files of its session with -i, too; where some are missing, name the folder of the session"
        raise InputError(f"{path.name} is one sequence, and the model takes several", file=path, why=why, do=do)
    if path.is_file():
        return Inputs([_of_file(path)])
    if any(path.glob("sub-*/")) or _is_subject(path):
        found = joined.of_each(lambda name: _of_bids(path, replace(wanted, modality=name)), wanted)
    elif files := names.nifti_files(str(path)):
        several = [path / name for name in files]
        found = joined.of_folder(several, wanted) if wanted.further else _of_files(several, wanted)
    elif _holds_dicom(path):
        made = _converted(path, work)
        series = joined.of_series(made, wanted, path.name) if wanted.further else _of_series(made, wanted)
        found = Inputs([replace(scan, converted=True) for scan in series.scans], series.notes)
    else:
        why, do = "it has no folder sub-*, no NIfTI file and no DICOM file", "name a scan, or a folder with scans"
        if deeper := next(filter(names.nifti_files, map(str, filter(Path.is_dir, path.glob("*/")))), None):
            do = f"name one of the folders in it that hold scans, such as {deeper}"
        raise InputError("there is no scan", file=path, why=why, do=do)
    return _chosen(found, wanted, path)


def part_of(scans: Sequence[Input], number: int, parts: int) -> list[Input]:
    """Every `parts`-th scan from `number` on, which is 0 for the first part."""
    return list(scans[number::parts])


def _is_subject(path: Path) -> bool:
    """Whether it is the folder of a subject in BIDS order, and not one called so with the scans right in it."""
    inside = any((path / name).is_dir() for name in DATATYPES) or any(path.glob("ses-*/"))
    return path.absolute().name.startswith("sub-") and (inside or not names.nifti_files(str(path)))


def label_of(path: Path) -> str:
    """The label of a scan by its file's name: `sub-01_ses-2`; other names become `sub-<letters and digits>`."""
    own = names.entities(path.name)
    if names.clean(own.get("sub", "")):
        kept = (f"{key}-{names.clean(own[key])}" for key in KEPT if names.clean(own.get(key, "")))
        return names.short_label("_".join(kept))
    stem = names.nifti_stem(path.name) or path.name
    return names.short_label(f"sub-{names.clean(stem) or hashlib.sha256(stem.encode()).hexdigest()[:8]}")


def _of_file(path: Path) -> Input:
    if missing := content_missing(path):
        raise InputError(f"{path.name} {missing}", file=path)
    return Input(label_of(path), path, words.modality_in_words(path))


def _of_files(paths: Collection[Path], wanted: Wanted) -> Inputs:
    """Scans among files that are in no BIDS folder: those of another modality and masks are left out with a note."""
    scans, notes = [], []
    for path in paths:
        modality = wanted.said or words.modality_in_words(path)
        if words.is_no_scan(path.name):
            notes.append(f"{path.name} is left out: it is no scan by its name")
        elif words.is_scout(path) and len(paths) > 1:
            notes.append(f"{path.name} is left out: it is a scout by its name")
        elif modality not in (None, wanted.modality, wanted.said) and len(paths) > 1:
            notes.append(f"{path.name} is left out: it is {modality}, the model is for {wanted.modality}")
        else:
            problem = f"it {missing}" if (missing := content_missing(path)) else ""
            scans.append(Input(label_of(path), path, modality, problem))
    counts = Counter(scan.scan for scan in scans)
    return Inputs([_told_apart(scan) if counts[scan.scan] > 1 else scan for scan in scans], notes)


def _of_series(paths: Collection[Path], wanted: Wanted) -> Inputs:
    """Scans among converted series; those that nothing names are left out with a note."""
    unknown = [path for path in paths if not (wanted.said or words.modality_in_words(path))]
    found = _of_files([path for path in paths if path not in unknown], wanted)
    why = f"nothing says what it is; --modality {wanted.modality} takes all series"
    return Inputs(found.scans, [*found.notes, *(f"{path.name} is left out: {why}" for path in unknown)])


def _told_apart(scan: Input) -> Input:
    """The scan with digits of a checksum of its file's name, for files whose names give one label."""
    digest = hashlib.sha256(scan.image.name.encode()).hexdigest()[:4]
    subject, _, rest = scan.scan.partition("_")
    return replace(scan, scan="_".join(filter(None, (f"{subject}{digest}", rest))))


def _of_bids(path: Path, wanted: Wanted) -> Inputs:
    subject = path.absolute().name if not any(path.glob("sub-*/")) else ""
    only = {"entities": {"sub": subject.removeprefix("sub-")}} if subject else {}
    root = str(path.absolute().parent if subject else path)
    if part := misread(root):
        do = "rename the folder, link to it by another name, or name its files one by one"
        raise InputError(f"a BIDS folder with {part} in its path cannot be read", file=path, do=do)
    settings = {"source": "bids", "root": root, "modality": wanted.modality, "healthy": False, "split": None, **only}
    try:
        content = read_bids(path.name or "input", Bids.model_validate(settings))
    except InputError as error:
        do = f"name a BIDS folder with {wanted.modality} scans, or a file"
        raise InputError(error.what, file=path, why=error.why, do=do) from None
    images = [(scan.scan, Path(scan.image)) for scan in content.scans]
    scans = [Input(label, image, words.modality_of(image.name) or wanted.modality) for label, image in images]
    notes = [f"{scan.scan}: {scan.note}" for scan in content.scans if scan.note]
    failed = [Input(scan.scan, path / scan.scan, None, scan.note) for scan in content.failed]
    return Inputs(sorted([*scans, *failed], key=lambda each: each.scan), [*content.notes, *notes])


def _chosen(found: Inputs, wanted: Wanted, path: Path) -> Inputs:
    """The scans of the wanted participants and sessions. Raises InputError for one that is not there."""
    scans = found.scans
    for key, labels in (("sub", wanted.participants), ("ses", wanted.sessions)):
        plain = {label.removeprefix(f"{key}-") for label in labels}
        there = {names.entities(scan.scan).get(key, "") for scan in scans}
        if missing := sorted(plain - there):
            some = ", ".join(sorted(filter(None, there))[:5])
            known = f"there are {some}" if some else "the names of the scans have no such label"
            raise InputError(f"there is no {key}-{missing[0]}", file=path, why=known, do="correct the labels")
        scans = [scan for scan in scans if not plain or names.entities(scan.scan).get(key, "") in plain]
    if not scans:
        why = found.notes[0] if found.notes else None
        do = f"give {wanted.modality} scans, or name the file itself if its name is wrong"
        raise InputError(f"there is no {wanted.modality} scan", file=path, why=why, do=do)
    return Inputs(sorted(scans, key=lambda each: each.scan), found.notes)


def _holds_dicom(folder: Path) -> bool:
    return any(_is_dicom(path) for path, _ in zip(_files(folder), range(TRIED), strict=False))


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))


def _is_dicom(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            file.seek(MAGIC_PLACE)
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


def _converted(folder: Path, work: Path) -> list[Path]:
    """The series of a DICOM folder as NIfTI files in `work`. Raises InputError without the converter."""
    program = shutil.which(CONVERTER)
    if program is None:
        why = f"{CONVERTER}, which converts them, is not installed"
        do = f"install it (Debian and conda-forge have {CONVERTER}), or convert the scans to NIfTI yourself"
        raise InputError("the folder holds DICOM files", file=folder, why=why, do=do)
    # the name has folder, series and protocol, and nothing of the person
    command = [program, "-z", "y", "-b", "y", "-ba", "y", "-f", "%f_%s_%p", "-o", str(work), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    made = [work / name for name in names.nifti_files(str(work))]
    if not made:
        lines = [*done.stdout.splitlines(), *done.stderr.splitlines()]
        why = next((line for line in reversed(lines) if "error" in line.lower()), f"it ended with {done.returncode}")
        raise InputError(f"{CONVERTER} made no scan of the folder", file=folder, why=why, do="convert it to NIfTI")
    return made
