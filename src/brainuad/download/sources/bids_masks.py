"""Which lesion mask belongs to a scan of a BIDS data set."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from os.path import commonprefix
from pathlib import Path

from brainuad.config.datasets import Bids, Masks
from brainuad.download.sources import bids_names as names
from brainuad.errors import InputError
from brainuad.formats.pointers import content_missing

MATCHED_ENTITIES = ("ses", "acq", "ce", "rec", "run", "echo", "part", "space", "res")
"""Entities that mask and scan must share where both have them."""


@dataclass(frozen=True)
class ScanLocation:
    """Subject, session and folder of a scan."""

    subject: str
    session: str
    """Empty if the subject has none."""
    folder: Path


@dataclass
class MaskFinder:
    """Finds lesion masks; reads each folder once. Raises InputError if the folder of masks does not exist."""

    label: str
    settings: Bids
    subjects: frozenset[str] = frozenset()
    """Names of the subjects' folders, by which labels with `_` are known in names of masks."""
    _by_folder: dict[Path, dict[str, list[str]]] = field(default_factory=dict)
    _missing: set[Path] = field(default_factory=set)
    """Masks whose data is not there."""

    def __post_init__(self) -> None:
        mask = self.settings.mask
        parts = self._above() if isinstance(mask, Masks) else Path(mask).parent.parts
        fixed = [part for part in parts if "*" not in part]
        top = Path(self.settings.root).joinpath(
            *fixed[: next((i for i, p in enumerate(parts) if "*" in p), len(parts))]
        )
        if parts and not top.is_dir():
            raise InputError(
                f"{self.label} has no folder of lesion masks", file=top, do=f"correct datasets.{self.label}.mask"
            )

    def masks(self, place: ScanLocation) -> list[Path]:
        """The masks of a session, of any of its scans."""
        return [path for path in self._all(place) if path not in self._missing]

    def missing(self, place: ScanLocation) -> list[str]:
        """Sentences on those masks of a session whose data is not there, as in a clone without its data."""
        lost = [path for path in self._all(place) if path in self._missing]
        return [f"its lesion mask {path.name} {content_missing(path)}" for path in lost]

    def _all(self, place: ScanLocation) -> list[Path]:
        for folder in self._folders(place):
            names_of = self._names(folder)
            own = names_of.get(place.subject, [])
            if place.subject in folder.parts:
                own = own + names_of.get("", [])
            if masks := [
                folder / name for name in own if self._is_mask(name) and _session(name, place) in ("", place.session)
            ]:
                return masks
        return []

    def _above(self) -> tuple[str, ...]:
        mask = self.settings.mask
        derivatives = mask.derivatives if isinstance(mask, Masks) else None
        return ("derivatives", *Path(derivatives).parts) if derivatives else ()

    def _folders(self, place: ScanLocation) -> list[Path]:
        root, mask = Path(self.settings.root), self.settings.mask
        if isinstance(mask, Masks) and mask.derivatives:
            top = root.joinpath(*self._above(), place.subject)
            sessions = [place.session, ""] if place.session else [""]
            return [top / session / place.folder.name for session in sessions]
        parts = Path(mask).parent.parts if isinstance(mask, str) else ()
        own = {"sub-*": place.subject, "ses-*": place.session}
        return [root.joinpath(*(own.get(part, part) for part in parts))] if parts else [place.folder]

    def _names(self, folder: Path) -> dict[str, list[str]]:
        """The NIfTI files of a folder by the subject that their names say."""
        if folder not in self._by_folder:
            by_subject = defaultdict(list)
            for name, exists in names.nifti_files(str(folder)).items():
                by_subject[names.subject_of(name, self.subjects)].append(name)
                if not exists:
                    self._missing.add(folder / name)
            self._by_folder[folder] = by_subject
        return self._by_folder[folder]

    def _is_mask(self, name: str) -> bool:
        mask = self.settings.mask
        if isinstance(mask, str):
            return fnmatchcase(name, Path(mask).name)
        return names.suffix(name) == mask.suffix and names.matches(names.entities(name), mask.entities)


def masks_of_scan(masks: list[Path], image: str) -> list[Path]:
    """Those masks of a session that can belong to the scan with this file name, the most similar name first."""
    own = names.entities(image)

    def dissimilarity(mask: Path) -> tuple[bool, int, str]:
        other_space = names.entities(mask.name).get("space") != own.get("space")
        return other_space, -len(commonprefix([mask.name, image])), mask.name  # noqa: RUF071 - compares letters, not path parts

    def can_belong(mask: Path) -> bool:
        other = names.entities(mask.name)
        return all(own[key] == other[key] for key in MATCHED_ENTITIES if key in own and key in other)

    return sorted(filter(can_belong, masks), key=dissimilarity)


def _session(name: str, place: ScanLocation) -> str:
    session = names.entities_of(name, place.subject, place.session).get("ses", "")
    return f"ses-{session}" if session else ""
