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
    _by_folder: dict[Path, dict[str, list[str]]] = field(default_factory=dict)

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
        for folder in self._folders(place):
            names_of = self._names(folder)
            own = names_of.get(place.subject, [])
            if place.subject in folder.parts:
                own = own + names_of.get("", [])
            if masks := [
                folder / name for name in own if self._is_mask(name) and _session(name) in ("", place.session)
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
                if exists:
                    subject = names.entities(name).get("sub", "")
                    by_subject[f"sub-{subject}" if subject else ""].append(name)
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


def _session(name: str) -> str:
    session = names.entities(name).get("ses", "")
    return f"ses-{session}" if session else ""
