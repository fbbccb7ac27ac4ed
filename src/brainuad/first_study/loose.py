"""NIfTI files in no BIDS order as parts of a study: subjects, modalities and lesion masks by their names."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from brainuad.download.sources import bids_names as names
from brainuad.download.sources import words
from brainuad.first_study.part import HEALTHY, PATIENTS, Part, by_name, label_of
from brainuad.formats.scans import Scan

DEEPEST = 4
"""Folders below the one that is looked at."""
TOKENS = re.compile(r"[\W_]+")
LESION = re.compile(r"lesion|mask|seg|dseg|roi|label|tumou?r|gt|annotation", re.IGNORECASE)
"""Parts of names of lesion masks."""
OF_MASKS = re.compile(r"labels?(tr|ts)?|masks?|lesions?|lesion_?masks?|segmentations?|gt", re.IGNORECASE)
"""Folders of lesion masks beside folders of scans."""
OF_THE_BRAIN = re.compile(r"brain|head|skull|bet|wm|gm|csf|tissue", re.IGNORECASE)
KIND = re.compile(
    r"t1(w|ce|c|gd|n)?|t2(w|f)?|flair|pdw?|ct|mp2?rage|bravo|spgr|post|pre|contrast|gd|brain|stripped|n4|corrected|nii|gz",
    re.IGNORECASE,
)
"""Parts of names that tell what a file is, and not whose."""


@dataclass(frozen=True)
class _File:
    """A NIfTI file. `own`, `place`: letters and digits of its name, and of its folders', without what tells what it is.

    `group`: the folder that says whether its people are healthy, empty if none does.
    """

    path: Path
    own: str
    place: str
    group: str
    mask: bool
    modality: str


def parts_of(folder: Path, modality: str | None) -> tuple[list[Part], list[Path], list[str]]:
    """The parts of a folder, folders with lesion masks in MNI space alone, and notes.

    `modality`: of files whose names say nothing.
    """
    files = [_file(path, folder, modality) for path in _nifti(folder)]
    scans = [each for each in files if not each.mask and each.modality]
    notes = [] if files else [f"{folder} holds no NIfTI file"]
    if unknown := [each.path.name for each in files if not each.mask and not each.modality]:
        notes.append(
            f"{folder.name}: nothing says what {len(unknown)} files such as {unknown[0]} are; --modality says it"
        )
    if not scans:
        in_mni = files and all(each.mask and "space-MNI" in each.path.name for each in files)
        return [], sorted({each.path.parent for each in files}) if in_mni else [], [] if in_mni else notes
    subject_of = _subjects(scans)
    masks: dict[tuple[str, str], list[Path]] = defaultdict(list)
    for each in files:
        if each.mask and not OF_THE_BRAIN.search(each.path.name):
            masks[each.group, subject_of(each)].append(each.path)
    parts = []
    for group in sorted({each.group for each in scans}):
        mine = [each for each in scans if each.group == group]
        chosen = {}
        for name in sorted({each.modality for each in mine}, key=words.MODALITIES.index):
            by_subject: dict[str, list[_File]] = defaultdict(list)
            for each in mine:
                if each.modality == name:
                    by_subject[subject_of(each)].append(each)
            chosen[name] = [
                _scan(subject, own, masks.get((group, subject), []), notes)
                for subject, own in sorted(by_subject.items())
            ]
        marked = any(scan.mask for each in chosen.values() for scan in each)
        healthy, why, guessed = by_name(Path(group) if group else folder, marked)
        label = label_of(group or folder.absolute().name)
        parts.append(Part(label, folder, healthy, why, guessed, chosen, decided=bool(group)))
    return parts, [], notes


def _nifti(folder: Path) -> Iterator[Path]:
    """NIfTI files in the folder and those below it, sorted, without hidden ones."""
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder).parts
        hidden = any(part.startswith(".") for part in inside)
        if len(inside) <= DEEPEST + 1 and not hidden and names.nifti_stem(path.name) is not None and path.is_file():
            yield path


def _file(path: Path, top: Path, modality: str | None) -> _File:
    inside = path.relative_to(top).parts[:-1]
    group = next((part for part in inside if _says_who(part)), "")
    tokens = [token for token in TOKENS.split(names.nifti_stem(path.name) or "") if token]
    told = tokens[1:] if tokens[:1] == ["sub"] else tokens
    own = [token for token in told if not KIND.fullmatch(token) and not LESION.fullmatch(token)]
    place = [part.removeprefix("sub-") for part in inside if part != group and not OF_MASKS.fullmatch(part)]
    mask = any(map(LESION.fullmatch, tokens)) or any(map(OF_MASKS.fullmatch, inside)) or words.is_no_scan(path.name)
    kind = words.modality_in_words(path) or modality or ""
    return _File(path, names.clean("".join(own)), names.clean("".join(place)), group, mask, kind)


def _says_who(folder: str) -> bool:
    """Whether a folder is named after kinds of people; with digits in it the name is that of one of them."""
    name = folder.lower()
    is_healthy = any(HEALTHY.fullmatch(word) for word in (name, *TOKENS.split(name)))
    return not re.search(r"\d", name) and (is_healthy or PATIENTS.search(name) is not None)


def _subjects(scans: Sequence[_File]) -> Callable[[_File], str]:
    """What tells the subjects of these scans apart: names of files, else of folders, else both."""
    keys: tuple[Callable[[_File], str], ...] = (
        lambda file: file.own,
        lambda file: file.place,
        lambda file: file.place + file.own,
    )
    return next((key for key in keys if _tells_apart(key, scans)), keys[-1])


def _tells_apart(key: Callable[[_File], str], scans: Sequence[_File]) -> bool:
    found = [(each.group, each.modality, key(each)) for each in scans]
    return len({*found}) == len(found) and all(subject for _, _, subject in found)


def _scan(subject: str, files: Sequence[_File], masks: Sequence[Path], notes: list[str]) -> Scan:
    """The scan of a subject, of several files the one with the shortest name, with its lesion mask."""
    file = min(files, key=lambda each: (len(each.path.name), each.path.name))
    if len(files) > 1:
        notes.append(f"{file.path.name} is taken of {len(files)} files of {subject}")
    mask = min(masks, key=lambda path: (words.modality_in_words(path) != file.modality, len(path.name)), default=None)
    return Scan(f"sub-{subject}", f"sub-{subject}", "", image=str(file.path), mask=str(mask or ""))
