"""BIDS file names: entities, suffixes, and the patterns of `.bidsignore`."""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from collections.abc import Container, Mapping
from functools import cache
from pathlib import Path, PurePosixPath

from brainuad.config.datasets import Entity, Wanted
from brainuad.errors import InputError
from brainuad.formats.pointers import LARGEST_POINTER, content_missing

NIFTI_ENDINGS = (".nii.gz", ".nii")
LONGEST_LABEL = 120
"""Letters of a scan's label, with `sub-` and `ses-`: names of files, which hold it, may have 255 bytes."""
SCOUT = re.compile(r"scout|locali[sz]er|3plane|triplane|tripilot|(^|_)(loc|survey)\d*(_|$)")


@cache
def nifti_stem(name: str) -> str | None:
    """The name of a NIfTI file without its ending, which may be in capitals; None for other files."""
    return next((name[: -len(ending)] for ending in NIFTI_ENDINGS if name.lower().endswith(ending)), None)


def nifti_files(folder: str) -> dict[str, bool]:
    """The NIfTI files of a folder, sorted, and whether each holds data; see `content_missing`. Empty without a folder.

    Folders with such names, as some scanners' exports have, are left out, and hidden files: `._sub-01_T1w.nii.gz` is
    what macOS leaves beside a file on foreign disks.
    """
    try:
        with os.scandir(folder) as entries:
            nifti = [each for each in entries if nifti_stem(each.name) is not None and not each.name.startswith(".")]
    except (FileNotFoundError, NotADirectoryError):
        return {}
    return {each.name: _holds_data(each) for each in sorted(nifti, key=lambda each: each.name) if not _is_folder(each)}


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _holds_data(entry: os.DirEntry[str]) -> bool:
    """`content_missing`, which for most files follows from the size alone."""
    try:
        if not entry.is_symlink() and entry.stat().st_size > LARGEST_POINTER:
            return True
    except OSError:
        return False
    return content_missing(entry.path) is None


def short_label(label: str) -> str:
    """A scan's label that names of files can hold: of one that is too long, the beginning and a digest."""
    if len(label) <= LONGEST_LABEL:
        return label
    return f"{label.partition('_')[0][: LONGEST_LABEL // 2]}{hashlib.sha256(label.encode()).hexdigest()[:8]}"


@cache
def entities(name: str) -> dict[str, str]:
    """Entities and values of a file name, in any order: `sub-1_acq-x_T1w.nii.gz` has sub and acq."""
    parts = (part.partition("-") for part in name.split(".")[0].split("_"))
    return {key: value for key, dash, value in parts if dash}


def entities_of(name: str, subject: str, session: str = "") -> dict[str, str]:
    """Entities of a file's name, where labels of its subject's and session's folders may hold `_`: `sub-AD_001`."""
    found: dict[str, str] = {}
    for folder in filter(None, (subject, session)):
        if name.startswith(f"{folder}_"):
            found |= {folder[:3]: folder[4:]}
            name = name.removeprefix(f"{folder}_")
    return {**entities(name), **found}


def clean(label: str) -> str:
    """The ASCII letters and digits of a label, without accents: what BIDS allows."""
    if label.isascii() and label.isalnum():
        return label
    plain = unicodedata.normalize("NFKD", label).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9]", "", plain)


def same_label(name: str) -> str:
    """A name without what writers of a label differ in: case, blanks, `_`, `-`, leading zeros and .0 after numbers."""
    composed = unicodedata.normalize("NFC", name)  # macOS parts accents from letters
    plain = re.sub(r"^((sub|ses)([-_ ]|(?=\d)))+", "", composed.strip().casefold())
    plain = re.sub(r"^(\d+)\.0+$", r"\1", plain)
    return re.sub(r"[\s_-]", "", re.sub(r"(?<!\d)0+(?=\d)", "", plain))


def subject_of(name: str, subjects: Container[str]) -> str:
    """The folder of the subject whose file this is by its name; empty if the name says none.

    It is the longest of `subjects` that the name begins with, else `sub-<label>`.
    """
    parts = name.split(".")[0].split("_")
    longest = ("_".join(parts[:end]) for end in range(len(parts), 0, -1))
    label = entities(name).get("sub", "")
    return next((each for each in longest if each in subjects), f"sub-{label}" if label else "")


def is_scout(name: str) -> bool:
    """Whether a scan is a localizer, of a few thick slices, or part of a complex image, by the entities of its name."""
    own = entities(name)
    text = "_".join(own[key] for key in ("acq", "desc", "rec") if key in own).lower()
    return bool(SCOUT.search(text)) or own.get("part", "mag") != "mag"


def suffix(name: str) -> str:
    """The last part of a NIfTI file's name, such as `T1w`."""
    return (nifti_stem(name) or "").rpartition("_")[2]


def matches(given: Mapping[str, str], wanted: Mapping[Entity, Wanted]) -> bool:
    """Whether the given entities include the wanted ones."""
    return all(_is_wanted(key, given.get(key), value) for key, value in wanted.items())


def _is_wanted(key: str, label: str | None, wanted: Wanted) -> bool:
    """Whether a label is wanted; `ses: ses-1` means the same as `ses: 1`, since labels hold no dash."""
    if label is None or wanted is None:
        return label is wanted
    each = wanted if isinstance(wanted, list) else [wanted]
    return any(
        label.isdecimal() and int(label) == one if isinstance(one, int) else label in (one, one.removeprefix(f"{key}-"))
        for one in each
    )


class Ignored:
    """The patterns of a `.bidsignore`, in the grammar of `.gitignore`; a folder without one ignores nothing."""

    def __init__(self, root: Path):
        path = root / ".bidsignore"
        try:
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
        except OSError as error:
            do = "correct its permissions"
            raise InputError("cannot read .bidsignore", file=path, why=error.strerror, do=do) from None
        patterns = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
        self.rules = [(not line.startswith("!"), _compiled(line.removeprefix("!"))) for line in patterns]

    def __contains__(self, path: str) -> bool:
        """Whether a path relative to the root, or a folder that it lies in, is ignored."""
        if not self.rules:
            return False
        parents = [f"{parent}/" for parent in reversed(PurePosixPath(path).parents) if parent.name]
        return any(self._last(place) for place in [*parents, path])

    def _last(self, place: str) -> bool:
        """The answer of the last pattern that matches; the path of a folder ends in a slash."""
        return next((ignores for ignores, rule in reversed(self.rules) if rule.fullmatch(place)), False)


def _compiled(pattern: str) -> re.Pattern[str]:
    """A pattern with a slash before its end starts at the root, any other matches at every depth."""
    anchored = "/" in pattern.rstrip("/")
    text = ""
    for part in re.split(r"(\*\*/|/\*\*|\*|\?|\[[^]]+\])", pattern.strip("/")):
        wild = {"**/": "(?:.*/)?", "/**": "/.*", "*": "[^/]*", "?": "[^/]"}.get(part)
        text += wild or (part.replace("[!", "[^") if part.startswith("[") else re.escape(part))
    start, end = "" if anchored else "(?:.*/)?", "/" if pattern.endswith("/") else "/?"
    try:
        return re.compile(start + text + end)
    except re.error:  # such as [z-a]
        return re.compile(start + re.escape(pattern.strip("/")) + end)
