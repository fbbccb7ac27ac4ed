"""Files that are the sequences of one session, for models that take several: by labels, folders or the user's word."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

from brainuad.config.told import listed
from brainuad.download.sources import bids_names as names
from brainuad.download.sources import words
from brainuad.errors import InputError
from brainuad.formats.pointers import content_missing
from brainuad.predict.asked import Input, Inputs, Wanted

OF_A_SESSION = ("sub", "ses", "run")
"""Entities that the sequences of a session share."""
NAMED = "name the files like sub-01_T1w.nii.gz and sub-01_FLAIR.nii.gz"


def of_files_of_one(paths: Sequence[Path], wanted: Wanted) -> Input:
    """Raises InputError unless the files are sequences of one session, each once, the first among them."""
    if not wanted.further:
        why, do = f"it takes {wanted.modality} alone", "name one scan, or a folder with scans"
        raise InputError("several files are sequences of one session, and the model takes one", why=why, do=do)
    if wanted.said:
        do = f"leave out --modality; {NAMED}"
        raise InputError(f"--modality {wanted.said} names one sequence, and -i names several", do=do)
    found: dict[str, list[Path]] = {}
    for path in paths:
        if not path.is_file():
            do = "name the files of one session, or one folder"
            raise InputError("-i names several, and one is no file", file=path, do=do)
        modality = words.modality_in_words(path)
        if modality is None:
            raise InputError(f"nothing says which sequence {path.name} is", file=path, do=NAMED)
        if modality not in wanted.sequences:
            why = f"it takes {listed(wanted.sequences)}"
            raise InputError(
                f"the model takes no {modality}", file=path, why=why, do="leave it out, or correct its name"
            )
        found.setdefault(modality, []).append(path)
    people = {path: tuple(names.entities(path.name).get(key, "") for key in OF_A_SESSION[:2]) for path in paths}
    first, *others = [path for path, person in people.items() if person[0]] or [paths[0]]
    if other := [path for path in others if people[path] != people[first]]:
        why, do = f"{first.name} is of another one", "map each session by a call of its own, or name a folder"
        raise InputError(f"{other[0].name} is not of the same session", file=other[0], why=why, do=do)
    session = _session(found, wanted, "")
    if session.problem:
        raise InputError(f"the files are no session: {session.problem}", file=session.image, do="correct what -i names")
    return session


def of_each(find: Callable[[str], Inputs], wanted: Wanted) -> Inputs:
    """Sessions by the labels of the scans that `find` gives of each sequence.

    Raises InputError where there is no scan of the first sequence.
    """
    first = find(wanted.modality)
    if not wanted.further:
        return first
    if wanted.said:
        raise InputError(f"--modality {wanted.said} names one sequence, and the model takes several", do="leave it out")
    further: dict[str, dict[str, Path]] = {}
    notes = list(first.notes)
    for name in wanted.further:
        try:
            found = find(name)
        except InputError as error:
            notes.append(f"no session has a {name}: {error.what}")
            continue
        notes += [note for note in found.notes if note not in notes]
        for scan in found.scans:
            if scan.modality not in (None, name):
                notes.append(f"{scan.image.name} is left out: it is {scan.modality}, no {name}")
            elif not scan.problem:
                further.setdefault(scan.scan, {})[name] = scan.image
    there = {scan.scan for scan in first.scans}
    scans = [
        Input(scan.scan, scan.image, scan.modality, scan.problem, further=further.get(scan.scan, {}))
        for scan in first.scans
    ]
    lacking = [
        Input(label, next(iter(files.values())), None, f"it lacks {wanted.modality}")
        for label, files in further.items()
        if label not in there
    ]
    return Inputs(sorted([*scans, *lacking], key=lambda each: each.scan), notes)


def of_folder(paths: Collection[Path], wanted: Wanted) -> Inputs:
    """Sessions among files that are in no BIDS folder, joined by their names without the words for the sequence."""
    known, notes = _known(paths, wanted)
    sessions: dict[str, dict[str, list[Path]]] = {}
    for path, modality in known.items():
        sessions.setdefault(label_of_session(path), {}).setdefault(modality, []).append(path)
    return Inputs([_session(files, wanted, label) for label, files in sessions.items()], notes)


def of_series(paths: Collection[Path], wanted: Wanted, folder: str) -> Inputs:
    """One session of the series that were converted from a DICOM folder of this name."""
    known, notes = _known(paths, wanted)
    files: dict[str, list[Path]] = {}
    for path, modality in known.items():
        files.setdefault(modality, []).append(path)
    return Inputs([_session(files, wanted, _label(folder))] if files else [], notes)


def label_of_session(path: Path) -> str:
    """`sub-01_ses-2`; of other names `sub-` and the rest without the words for the sequence, or the folder's name."""
    own = names.entities(path.name)
    if names.clean(own.get("sub", "")):
        kept = (f"{key}-{names.clean(own[key])}" for key in OF_A_SESSION if names.clean(own.get(key, "")))
        return names.short_label("_".join(kept))
    stem = names.nifti_stem(path.name) or path.name
    rest = stem
    for pattern in words.WORDS.values():
        rest = re.sub(rf"(?:{pattern})(?:w(?:eighted)?|n)?(?![a-z])", " ", rest, flags=re.IGNORECASE)
    return _label(rest if names.clean(rest) else path.absolute().parent.name)


def shown(scan: Input, wanted: Wanted) -> str:
    """Which sequences a session has, and which it lacks."""
    there = [name for name in wanted.sequences if name in scan.files]
    lacking = [name for name in wanted.sequences if name not in there]
    return listed(there) + (f", lacks {listed(lacking)}" if lacking else "")


def _known(paths: Collection[Path], wanted: Wanted) -> tuple[dict[Path, str], list[str]]:
    """The files that are sequences of the model, and why others are left out."""
    if wanted.said:
        raise InputError(f"--modality {wanted.said} names one sequence, and the model takes several", do="leave it out")
    known: dict[Path, str] = {}
    notes = []
    for path in sorted(paths):
        modality = words.modality_in_words(path)
        if words.is_no_scan(path.name):
            notes.append(f"{path.name} is left out: it is no scan by its name")
        elif words.is_scout(path):
            notes.append(f"{path.name} is left out: it is a scout by its name")
        elif modality is None:
            notes.append(f"{path.name} is left out: nothing says which sequence it is")
        elif modality not in wanted.sequences:
            notes.append(f"{path.name} is left out: it is {modality}, the model takes {listed(wanted.sequences)}")
        else:
            known[path] = modality
    return known, notes


def _session(files: Mapping[str, Sequence[Path]], wanted: Wanted, label: str) -> Input:
    """The session of these files by modality, with what is wrong with it. `label`: by the first file if empty."""
    first = next(name for name in wanted.sequences if name in files)
    image = files[first][0]
    chosen = {name: files[name][0] for name in wanted.further if name in files and name != first}
    problems = [
        *(f"it has two {name}, {paths[0].name} and {paths[1].name}" for name, paths in files.items() if len(paths) > 1),
        *([f"it lacks {wanted.modality}"] if first != wanted.modality else []),
        *(f"{path.name} {missing}" for path in (image, *chosen.values()) if (missing := content_missing(path))),
    ]
    return Input(label or label_of_session(image), image, first, problems[0] if problems else "", further=chosen)


def _label(text: str) -> str:
    return names.short_label(f"sub-{names.clean(text) or 'unnamed'}")
