"""A BIDS folder as parts of a study: modalities, healthy people and patients, lesion masks."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from brainuad.config.datasets import Bids, Groups
from brainuad.download.sources import bids_names as names
from brainuad.download.sources import words
from brainuad.download.sources.bids import read_bids
from brainuad.download.sources.bids_masks import NAMING_ENTITIES, NO_LESION
from brainuad.download.sources.participants import NO_GROUP, Participants
from brainuad.errors import InputError
from brainuad.first_study.part import HEALTHY, Part, by_name, label_of
from brainuad.formats.scans import Scan

GROUP_COLUMNS = re.compile(
    r"group|diagnosis|diag|dx|cohort|status|condition|participant_type|patient_group|disease|class"
)
"""Names of columns that may say who is healthy, in small letters; the first that does is taken."""
LOOKED_AT = 50
"""Scans beside which lesion masks are looked for."""
MASK_SUFFIX = re.compile(r"mask|dseg|roi|lesion|seg", re.IGNORECASE)


def parts_of(root: Path) -> list[Part]:
    """The parts of a BIDS folder; none where it has no scan of a known modality."""
    scans = _by_modality(root, {})
    if not scans:
        return []
    own: dict[str, Any] = {"source": "bids", "root": str(root)}
    if not _marked(scans) and (mask := _masks(root, scans)):
        with_masks = _by_modality(root, {"mask": mask})
        if _marked(with_masks):
            scans, own = with_masks, {**own, "mask": mask}
    subjects = sorted({scan.subject for each in scans.values() for scan in each})
    label = label_of(root.absolute().name)
    column, values = _groups(root, subjects)
    healthy = sorted({value for value in values.values() if HEALTHY.fullmatch(value.lower())})
    others = sorted({*values.values()} - {*healthy})
    if healthy and others:
        groups = {"column": column, "healthy": healthy, "patients": others}
        wanted = ((f"{label}_healthy", True, healthy), (f"{label}_patients", False, others))
        return [
            Part(
                name,
                root,
                kind,
                f"participants.tsv: {column} is {' or '.join(mine)}",
                False,
                _of(scans, {subject for subject, value in values.items() if value in mine}),
                {**own, "groups": groups},
                True,
            )
            for name, kind, mine in wanted
        ]
    if values:
        why = f"participants.tsv: {column} is {' or '.join(healthy or others)}"
        return [Part(label, root, bool(healthy), why, False, scans, own, True)]
    kind, why, guessed = by_name(root, _marked(scans))
    return [Part(label, root, kind, why, guessed, scans, own)]


def _by_modality(root: Path, settings: dict[str, Any]) -> dict[str, list[Scan]]:
    """The scans of each modality that the folder has."""
    found = {}
    for modality in words.MODALITIES:
        asked = {"source": "bids", "root": str(root), "modality": modality, "healthy": False, "split": None, **settings}
        try:
            found[modality] = read_bids(root.absolute().name, Bids.model_validate(asked)).scans
        except InputError as error:
            if "holds no scans" not in error.what:
                raise
    return found


def _marked(scans: dict[str, list[Scan]]) -> bool:
    """Whether a scan has a lesion mask."""
    return any(scan.mask for each in scans.values() for scan in each)


def _of(scans: dict[str, list[Scan]], subjects: set[str]) -> dict[str, list[Scan]]:
    chosen = {name: [scan for scan in each if scan.subject in subjects] for name, each in scans.items()}
    return {name: each for name, each in chosen.items() if each}


def _groups(root: Path, subjects: Sequence[str]) -> tuple[str, dict[str, str]]:
    """The column of participants.tsv that says who is healthy, and its value by subject; empty if none says it."""
    try:
        folders = sorted(path.name for path in root.glob("sub-*/"))
        table = Participants("scans", Bids(source="bids", root=str(root), healthy=True), root, folders)
        for column in sorted(name for name in table.columns_present if GROUP_COLUMNS.search(name)):
            settings = Bids(
                source="bids", root=str(root), healthy=True, groups=Groups(column=column, healthy=["healthy"])
            )
            listed = Participants("scans", settings, root, folders).by_subject
            values = {f"sub-{names.clean(name[4:])}": each.group for name, each in listed.items() if each.group}
            mine = {subject: values[subject] for subject in subjects if subject in values}
            mine = {subject: value for subject, value in mine.items() if value.lower() not in NO_GROUP}
            few = len({*mine.values()}) <= max(2, len(mine) // 2)  # else they are no groups
            if mine and (few or any(map(_is_healthy, mine.values()))):
                return column, mine
    except InputError:
        return "", {}
    return "", {}


def _is_healthy(value: str) -> bool:
    return HEALTHY.fullmatch(value.lower()) is not None


def _masks(root: Path, scans: dict[str, list[Scan]]) -> dict[str, Any]:
    """The setting `mask` for lesion masks that the default pattern does not find; empty if there are none.

    Looked for beside the scans, then in the folders of `derivatives/`.
    """
    images = [Path(scan.image) for each in scans.values() for scan in each][:LOOKED_AT]
    beside = [name for folder in {image.parent for image in images} for name in names.nifti_files(str(folder))]
    if settings := _named(beside):
        return settings
    for place in sorted((root / "derivatives").glob("*/")):
        subjects = sorted(place.glob("sub-*/"))[:LOOKED_AT]
        there = [path.name for subject in subjects for path in subject.rglob("*.nii*")]
        if settings := _named(there):
            return {"derivatives": place.name, **settings}
    return {}


def _named(files: Sequence[str]) -> dict[str, Any]:
    """Suffix and naming entities of the most frequent kind of mask among these files."""
    kinds = Counter(
        (names.suffix(name), tuple((key, own[key]) for key in NAMING_ENTITIES if key in own))
        for name in files
        for own in (names.entities(name),)
        if MASK_SUFFIX.fullmatch(names.suffix(name)) and not _is_no_lesion(name)
    )
    if not kinds:
        return {}
    suffix, entities = max(kinds, key=lambda kind: (kinds[kind], str(kind)))
    return {"suffix": suffix, **({"entities": dict(entities)} if entities else {})}


def _is_no_lesion(name: str) -> bool:
    own = names.entities(name)
    return any(NO_LESION.fullmatch(own.get(key, "").lower()) for key in NAMING_ENTITIES)
