"""Leaks: people or scans that a model is trained on and tested on, or that set a threshold and are tested.

Labels of people are compared between data sets of one place while the study is laid out, files before the first job,
and the content of the scans once they are preprocessed (docs/decisions/0039-leaks.md).
"""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from logging import getLogger
from pathlib import Path

from brainuad.config.datasets import AnyScans, OnDisk, Phantoms
from brainuad.config.study import Study
from brainuad.config.told import count
from brainuad.errors import ConfigError, InputError
from brainuad.formats import scans
from brainuad.formats.handling import Handling
from brainuad.formats.scans import ROLES, Scan

HANDLED = (
    Handling(
        "study",
        "a scan that is in two roles: listed in two data sets, linked, copied, renamed, compressed anew or with "
        "another header",
        "refused",
        "the study stops and names both scans; their voxel values are compared, of several `modalities` those of each "
        "sequence with all others. A scan that was resampled is not found",
    ),
    Handling(
        "study",
        "a person in two roles: the same label in two data sets of one folder, one table, or one seed of phantoms",
        "refused",
        "refused before the first job",
    ),
    Handling(
        "study",
        "a label such as `sub-01` in data sets of different folders",
        "accepted",
        "taken as two people, since every BIDS data set may have a `sub-01`",
    ),
    Handling("study", "a scan that is listed twice in one role", "accepted", "it counts twice, with a warning"),
)
REMEDY = "list one of them under the `exclude` of its data set, or take one of the data sets out of the study"
logger = getLogger(__name__)


@dataclass(frozen=True)
class Image:
    """One sequence of a scan. `modality`: empty for the first; `content`: a hash, empty where it is not known."""

    scan: Scan
    modality: str
    path: str
    content: str = ""

    def __str__(self) -> str:
        scan = f"{self.scan.scan} of {self.scan.dataset}"
        return f"{self.modality} of {scan}" if self.modality else scan


def refuse_shared_people(study: Study, rows: Mapping[str, Sequence[Scan]]) -> None:
    """Raise ConfigError if a person is in two roles of data sets that are read from one place.

    `rows`: scans with their roles, by data set. Also if a person is in a training set and in a set of patients.
    """
    sets = {label: d for label, d in study.scan_sets().items() if d.split is not None}
    for (label, one), (other, two) in combinations(sets.items(), 2):
        if _one_place(one, two):
            _refuse_people(study, (label, rows[label]), (other, rows[other]))


def _refuse_people(study: Study, one: tuple[str, Sequence[Scan]], two: tuple[str, Sequence[Scan]]) -> None:
    (label, _), (other, _) = one, two
    roles, others = ({row.subject: row.role for row in rows} for _, rows in (one, two))
    training = [name for name in (label, other) if (split := study.scan_sets()[name].split) and split.train]
    patients = [name for name in (label, other) if not study.scan_sets()[name].healthy]
    both = sorted(roles.keys() & others)
    in_two = [person for person in both if roles[person] and others[person] and roles[person] != others[person]]
    in_two.sort(key=lambda person: "train" not in (roles[person], others[person]))  # the worst first
    if training and patients and both:
        first = both[0]
        known = f"{first} is in {training[0]}, on which models are trained, and in {patients[0]}, a set of patients"
    elif in_two:
        first = in_two[0]
        known = f"{first} is {_said(roles[first])} in {label} and {_said(others[first])} in {other}"
    else:
        return
    place = getattr(study.scan_sets()[label], "location", None)
    why = f"{len(in_two or both)} people, such as {first}: {known}"
    do = f"list them under datasets.{(training or [label])[0]}.exclude"
    raise ConfigError(f"{label} and {other} share people", file=place, why=why, do=do)


def refuse_shared_files(rows: Mapping[str, Iterable[Scan]]) -> None:
    """Raise InputError if a file is in two roles, under whatever name, as a link or as a copy.

    `rows`: scans with their roles, by data set. Of a compressed file the last eight bytes are read, which hold the
    checksum and the length of its content. Files that cannot be read are left to the jobs that read them.
    """
    usable = [row for each in rows.values() for row in each if row.role and row.image]
    _refuse_two_roles(_fingerprinted([image for row in usable for image in _images(row)]), "the same content")


def refuse_shared_scans(rows: Sequence[Scan]) -> None:
    """Raise InputError if the voxel values of a scan are in two roles; warn of those that are twice in one role.

    `rows`: the scans of all data sets with their roles and the hash of their content. Scans that are left out of the
    study do not count.
    """
    images = [image for row in scans.with_role(list(rows), *ROLES[:-1]) for image in _images(row)]
    _refuse_two_roles(images, "the same voxel values")
    twice: dict[tuple[str, str], list[tuple[Image, Image]]] = {}
    for first, second in _pairs(images):
        twice.setdefault((first.scan.dataset, second.scan.dataset), []).append((first, second))
    for pairs in twice.values():
        first, second = pairs[0]
        others = len({image.scan.scan for _, image in pairs} - {second.scan.scan})
        also = f"; also {count(others, 'other scan')} of {second.scan.dataset}" if others else ""
        logger.warning("%s has the same voxel values as %s, and counts twice%s", second, first, also)


def _images(row: Scan) -> list[Image]:
    """The first sequence and those further ones that are used."""
    further, contents = row.sequence_files(), row.sequence_hashes()
    used = [name for name in dict.fromkeys([*further, *contents]) if name not in row.missing_sequences]
    others = [Image(row, name, further.get(name, ""), contents.get(name, "")) for name in used]
    return [Image(row, "", row.image, row.content), *others]


def _refuse_two_roles(images: Sequence[Image], same: str) -> None:
    found = [(one, two) for one, two in _pairs(images) if one.scan.role != two.scan.role]
    if not found:
        return
    one, two = found[0]
    more = f"; so are {len(found) - 1} other pairs" if len(found) > 1 else ""
    why = f"{one} is {_said(one.scan.role)}, {two} is {_said(two.scan.role)}, and they have {same}{more}"
    raise InputError("a scan is in two roles", file=two.path, why=why, do=REMEDY)


def _pairs(images: Sequence[Image]) -> Iterator[tuple[Image, Image]]:
    """Each image with an earlier one of the same content, of another role if there is one; no content is unknown."""
    earlier: dict[str, list[Image]] = {}
    for image in images:
        if not image.content:
            continue
        known = earlier.setdefault(image.content, [])
        if known:
            yield next((each for each in known if each.scan.role != image.scan.role), known[0]), image
        known.append(image)


def _fingerprinted(images: Sequence[Image]) -> list[Image]:
    """With what equal files share, and no others: the path that links lead to, or the hash of what a gzip file holds.

    A file is read as a whole only where its end, which does not depend on the level of compression, is that of a file
    in another role.
    """
    paths = [_real_path(image.path) for image in images]
    ends = [_gzip_end(path) for path in paths]
    roles: dict[str, set[str]] = {}
    for image, end in zip(images, ends, strict=True):
        roles.setdefault(end, set()).add(image.scan.role)
    read = {path: _gzip_content(path) for path, end in zip(paths, ends, strict=True) if end and len(roles[end]) > 1}
    shared = [read.get(path) or str(path or "") for path in paths]
    return [replace(image, content=content) for image, content in zip(images, shared, strict=True)]


def _real_path(path: str) -> Path | None:
    try:
        return Path(path).resolve(strict=True)
    except OSError:
        return None


def _gzip_end(path: Path | None) -> str:
    """Checksum and length of the content; empty where that says nothing."""
    if path is None or path.suffix != ".gz" or not path.is_file():
        return ""
    try:
        with path.open("rb") as file:
            file.seek(-8, 2)
            end = file.read()
    except OSError:
        return ""
    return end.hex() if any(end[4:]) else ""


def _gzip_content(path: Path | None) -> str:
    try:
        with gzip.open(path, "rb") as file:  # type: ignore[arg-type]
            return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
    except (OSError, EOFError, zlib.error):
        return ""


def _one_place(one: AnyScans, two: AnyScans) -> bool:
    """Whether labels of people mean the same in both data sets."""
    if isinstance(one, Phantoms) and isinstance(two, Phantoms):
        return (one.seed, one.lesions) == (two.seed, two.lesions)
    if isinstance(one, OnDisk) and isinstance(two, OnDisk):
        first, second = sorted((one.location.resolve(), two.location.resolve()), key=lambda path: len(path.parts))
        return first == second or first / "derivatives" in second.parents
    return False


def _said(role: str) -> str:
    return {"train": "a training scan"}.get(role, f"a {role} scan")
