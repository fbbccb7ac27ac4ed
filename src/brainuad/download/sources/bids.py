"""The scans of a BIDS data set, raw or derived. Imported while the Snakefile is parsed."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from brainuad.config.datasets import Bids
from brainuad.download.sources import bids_names as names
from brainuad.download.sources.bids_masks import MaskFinder, ScanLocation, masks_of_scan
from brainuad.download.sources.content import SourceContent
from brainuad.download.sources.participants import Participant, Participants
from brainuad.download.sources.scan_source import ScanSource
from brainuad.errors import InputError
from brainuad.formats.scans import Scan, changed


class BidsSource(ScanSource[Bids]):
    """A BIDS data set, or a derivative of one."""

    def find_scans(self) -> list[Scan]:
        """As in the base class."""
        return read_bids(self.label, self.settings).scans

    def make_scans(self, folder: Path, workers: int) -> list[Scan]:  # noqa: ARG002
        """As in the base class; makes no files."""
        content = read_bids(self.label, self.settings)
        return content.scans + content.failed


@dataclass
class _Files:
    """The files of the modality in one session of a subject."""

    images: list[Path] = field(default_factory=list)
    dangling: list[str] = field(default_factory=list)
    """Broken links, as in a clone without its data."""


def read_bids(label: str, settings: Bids) -> SourceContent:
    """The scans of a BIDS folder, sorted, without excluded subjects and other groups.

    If a session has several files of the modality, one with a lesion mask is preferred, then one without contrast
    agent, then the shortest name. `.bidsignore` applies to scans, not to lesion masks. Raises InputError if the folder
    cannot be read, if it holds no scan of the modality or, where patients are to be scored, no lesion mask, or if an
    excluded subject or a group in the settings does not exist.
    """
    reader = _Reader(label, settings)
    for subject in reader.subjects():
        reader.read(subject)
    reader.check()
    if settings.register_with is not None:
        reader.content.scans = _with_reference(label, settings, reader.content.scans)
    return reader.content


def _with_reference(label: str, settings: Bids, scans: list[Scan]) -> list[Scan]:
    """The scans with the reference scan of their session, if there is one."""
    entities = {key: value for key, value in settings.entities.items() if key in ("sub", "ses")}
    other = {"modality": settings.register_with, "entities": entities, "groups": None, "split": None}
    reader = _Reader(label, settings.model_copy(update=other))
    for subject in sorted({scan.subject for scan in scans}):
        reader.read(subject)
    references = {scan.scan: scan.image for scan in reader.content.scans}
    return [changed(scan, reference=references.get(scan.scan, "")) for scan in scans]


class _Reader:
    """Reads one data set, subject by subject."""

    def __init__(self, label: str, settings: Bids):
        self.label, self.settings = label, settings
        self.base = _base(label, settings)
        self.participants = Participants(label, settings, self.base)
        self.masks = MaskFinder(label, settings)
        self.ignored = names.Ignored(self.base)
        self.content = SourceContent()
        self.seen: list[Participant] = []
        self.unwanted: Counter[str] = Counter()
        with_entities = ", ".join(f"{key}: {value}" for key, value in settings.entities.items())
        self.like = f"*_{settings.modality}.nii.gz{' with ' * bool(with_entities)}{with_entities}"
        self.folders = ("ct", "anat") if settings.modality == "ct" else ("anat",)

    def subjects(self) -> list[str]:
        """The subjects that are neither excluded nor ignored and have the wanted label."""
        try:
            there = _folders(self.base, "sub-")
        except OSError as error:
            why, do = str(error.strerror), f"correct datasets.{self.label}.root or the folder's rights"
            raise InputError(f"cannot read the folder of {self.label}", file=self.base, why=why, do=do) from None
        if unknown := set(self.settings.exclude) - set(there):
            do = f"correct datasets.{self.label}.exclude"
            raise InputError(f"{sorted(unknown)[0]} is excluded but not in {self.label}", file=self.base, do=do)
        if "sub" in (wanted := self.settings.entities):
            there = [name for name in there if names.matches(names.entities(name), {"sub": wanted["sub"]})]
        return [name for name in there if name not in self.settings.exclude and f"{name}/" not in self.ignored]

    def read(self, subject: str) -> None:
        """Add a subject's scans, or a failed row with the reason."""
        known, files = self.participants.sessions_of(subject, self.base / subject), self._files(subject)
        self.seen += known.values()
        whose = {session: known.get(session, known[""]) for session in files} or known
        groups = self.settings.groups
        if groups and not any(participant.group for participant in whose.values()):
            self._fail(subject, "its group is unknown")
            return
        mine = [name for name, p in whose.items() if groups is None or groups.takes(p.group, self.settings.healthy)]
        taken = {session: files[session] for session in sorted(mine) if session in files}
        lost = [f"{name} is a broken link" for each in taken.values() for name in each.dangling]
        scans = [self._scan(subject, name, each, whose[name], lost) for name, each in taken.items() if each.images]
        self.content.scans += scans
        if mine and not scans:
            self._fail(subject, "; ".join(lost) or f"no {self.like} in {self.folders[0]}/")

    def check(self) -> None:
        """Raise InputError if the content cannot be used."""
        label, settings = self.label, self.settings
        self.participants.check(self.seen, settings.healthy)
        if not self.content.scans:
            why = f"no file matches sub-*/[ses-*/]{self.folders[0]}/{self.like}"
            if self.unwanted:
                why += "; there are " + ", ".join(f"{name} ({n})" for name, n in sorted(self.unwanted.items()))
            if lost := [row.note for row in self.content.failed if "broken link" in row.note]:
                why = f"{lost[0]}, and so are others: the clone lacks its data"
            do = "fetch the files behind the links" if lost else f"correct datasets.{label}"
            raise InputError(f"{label} holds no scans", file=self.base, why=why, do=do)
        if not settings.healthy and settings.split is not None and not any(scan.mask for scan in self.content.scans):
            mask = settings.mask
            like = mask if isinstance(mask, str) else f"*_{mask.suffix}.nii.gz with {mask.entities}"
            do = f"correct datasets.{label}.mask, or set its split to null"
            raise InputError(
                f"{label} has no lesion mask to score by", file=self.base, why=f"no file matches {like}", do=do
            )

    def _fail(self, subject: str, note: str) -> None:
        self.content.failed.append(Scan(subject, subject, self.label, state="failed", note=note))

    def _files(self, subject: str) -> dict[str, _Files]:
        """The files of the modality with the wanted entities, by session; "" is the key without sessions."""
        files: dict[str, _Files] = defaultdict(_Files)
        for session in ("", *_folders(self.base / subject, "ses-")):
            for place in ("/".join(filter(None, (subject, session, folder))) for folder in self.folders):
                for name, exists in names.nifti_files(f"{self.base}/{place}").items():
                    if not _has_modality(name, self.settings.modality) or f"{place}/{name}" in self.ignored:
                        continue
                    own = {**names.entities(subject), **names.entities(session), **names.entities(name)}
                    if not names.matches(own, self.settings.entities):
                        keys = self.settings.entities
                        self.unwanted.update(f"{key}-{own[key]}" if key in own else f"no {key}" for key in keys)
                        continue
                    each = files[f"ses-{own['ses']}" if "ses" in own else ""]
                    if exists:
                        each.images.append(self.base / place / name)
                    else:
                        each.dangling.append(name)
        return files

    def _scan(self, subject: str, session: str, files: _Files, participant: Participant, lost: list[str]) -> Scan:
        with_agent = {path.name for path in files.images if "ce" in names.entities(path.name)}
        with_agent = set() if self.settings.modality == "T1ce" else with_agent
        images = sorted(files.images, key=lambda path: (path.name in with_agent, len(path.name), path.name))
        masks = self.masks.masks(ScanLocation(subject, session, images[0].parent))
        image = next((path for path in images if masks_of_scan(masks, path.name)), images[0])
        own = masks_of_scan(masks, image.name)
        notes = [f"{each[0].name} of {len(each)} files" for each in ([image, *images[1:]], own) if len(each) > 1]
        if masks and not own:
            notes.append(f"{masks[0].name} belongs to another file")
        if image.name in with_agent:
            notes.append("with contrast agent")
        return Scan(
            scan=f"{subject}_{session}" if session else subject,
            subject=subject,
            dataset=self.label,
            image=str(image),
            mask=str(own[0]) if own else "",
            age=participant.age,
            sex=participant.sex,
            site=participant.site,
            note="; ".join([*notes, *lost, *[participant.note] * bool(participant.note)]),
        )


def _base(label: str, settings: Bids) -> Path:
    """The folder that holds `sub-*`."""
    root = Path(settings.root)
    if settings.derivatives is None:
        return root
    base = root / "derivatives" / settings.derivatives
    if root.is_dir() and not base.is_dir():
        there = _folders(root / "derivatives", "") if (root / "derivatives").is_dir() else []
        why = "there are " + ", ".join(there) if there else "there is no folder derivatives"
        do = f"correct datasets.{label}.derivatives"
        raise InputError(f"{label} has no derivatives {settings.derivatives}", file=base, why=why, do=do)
    return base


def _folders(place: Path, prefix: str) -> list[str]:
    with os.scandir(place) as entries:
        return sorted(entry.name for entry in entries if entry.name.startswith(prefix) and entry.is_dir())


def _has_modality(name: str, modality: str) -> bool:
    """BIDS marks T1 with contrast agent by the entity `ce`; many data sets use the suffix `T1ce` instead."""
    suffix = names.suffix(name)
    if modality == "T1ce" and suffix == "T1w":
        return "ce" in names.entities(name)
    return suffix == modality or (modality == "ct" and suffix == "CT")
