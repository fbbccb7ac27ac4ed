"""Which lesion mask belongs to a scan of a BIDS data set."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from os.path import commonprefix
from pathlib import Path

from brainuad.config.datasets import Bids, Masks
from brainuad.download import names
from brainuad.errors import InputError

TOLD_APART = ("ses", "acq", "ce", "rec", "run", "echo", "part", "space", "res")
"""Entities that mask and scan must share where both have them."""


@dataclass(frozen=True)
class Place:
    """Where a scan lies."""

    subject: str
    session: str
    """Empty where the subject has none."""
    folder: Path


@dataclass
class MaskFinder:
    """Looks into each folder of masks once. Raises InputError if there is no such folder."""

    label: str
    settings: Bids
    _listed: dict[Path, dict[str, list[str]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        mask = self.settings.mask
        parts = self._above() if isinstance(mask, Masks) else Path(mask).parent.parts
        fixed = [part for part in parts if "*" not in part]
        top = Path(self.settings.root).joinpath(
            *fixed[: next((i for i, p in enumerate(parts) if "*" in p), len(parts))]
        )
        if parts and not top.is_dir():
            raise InputError(
                f"there is no folder of masks of {self.label}", file=top, do=f"correct datasets.{self.label}.mask"
            )

    def masks(self, place: Place) -> list[Path]:
        """The masks of a subject's session, whichever of its scans they belong to."""
        for folder in self._folders(place):
            by_subject = self._names(folder)
            own = by_subject.get(place.subject, [])
            if place.subject in folder.parts:
                own = own + by_subject.get("", [])
            if found := [
                folder / name for name in own if self._is_mask(name) and _session(name) in ("", place.session)
            ]:
                return found
        return []

    def _above(self) -> tuple[str, ...]:
        mask = self.settings.mask
        derivatives = mask.derivatives if isinstance(mask, Masks) else None
        return ("derivatives", *Path(derivatives).parts) if derivatives else ()

    def _folders(self, place: Place) -> list[Path]:
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
        if folder not in self._listed:
            listed = defaultdict(list)
            for name, there in names.nifti(str(folder)).items():
                if there:
                    subject = names.entities(name).get("sub", "")
                    listed[f"sub-{subject}" if subject else ""].append(name)
            self._listed[folder] = listed
        return self._listed[folder]

    def _is_mask(self, name: str) -> bool:
        mask = self.settings.mask
        if isinstance(mask, str):
            return fnmatchcase(name, Path(mask).name)
        return names.suffix(name) == mask.suffix and names.fits(names.entities(name), mask.entities)


def of_scan(masks: list[Path], image: str) -> list[Path]:
    """Those of a session's masks that may belong to the scan of this file name, the one named most like it first."""
    own = names.entities(image)

    def unlike(mask: Path) -> tuple[bool, int, str]:
        other_space = names.entities(mask.name).get("space") != own.get("space")
        return other_space, -len(commonprefix([mask.name, image])), mask.name  # noqa: RUF071 - letters are meant

    def may_belong(mask: Path) -> bool:
        other = names.entities(mask.name)
        return all(own[key] == other[key] for key in TOLD_APART if key in own and key in other)

    return sorted(filter(may_belong, masks), key=unlike)


def _session(name: str) -> str:
    session = names.entities(name).get("ses", "")
    return f"ses-{session}" if session else ""
