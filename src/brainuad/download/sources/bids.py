"""The scans of a BIDS data set, raw or derived. Imported while the Snakefile is parsed."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from brainuad.config.datasets import Bids
from brainuad.config.paths import misread
from brainuad.download.sources import bids_names as names
from brainuad.download.sources.bids_masks import MaskFinder, ScanLocation, masks_of_scan
from brainuad.download.sources.content import SourceContent, unmasked_note
from brainuad.download.sources.participants import Participant, Participants
from brainuad.download.sources.scan_source import ScanSource
from brainuad.errors import InputError
from brainuad.formats.handling import Handling
from brainuad.formats.pointers import content_missing
from brainuad.formats.scans import MASK_SEPARATOR, Scan, changed

FETCH = "fetch the files behind the links or pointers: `datalad get .` (git-annex) or `git lfs pull` in that folder"
SHOWN = 3
"""Names in a message."""

HANDLED = (
    Handling(
        "names",
        "several scans of the modality in a session",
        "converted",
        "one is taken, with a note: the one with a lesion mask, else without contrast agent, else of the shortest name",
    ),
    Handling(
        "names",
        "`acq-scout`, `acq-localizer` and the like; `part-phase`, `part-real`, `part-imag`",
        "refused",
        "not taken, unless `entities` asks for such files; a subject with no other file is listed as failed",
    ),
    Handling(
        "names",
        "ids with `_` and the like (`sub-AD_001`), against BIDS",
        "converted",
        "the label becomes `sub-AD001`, with a note; two folders that become one label are refused",
    ),
    Handling(
        "names",
        "a file that bears another subject than its folder",
        "refused",
        "not taken; a message gives both names",
    ),
    Handling(
        "names",
        "broken links, pointers of git-annex and Git LFS in place of scans",
        "refused",
        "the subject is listed as failed, with the command: `datalad get` or `git lfs pull`",
    ),
    Handling(
        "names",
        "a folder of a subject that cannot be read",
        "refused",
        "the subject is listed as failed",
    ),
    Handling(
        "names",
        f"labels of subject and session of more than {names.LONGEST_LABEL} letters together",
        "refused",
        "remedy: rename the folder",
    ),
    Handling(
        "names",
        "folders named `SUB-01`, or subjects one folder deeper",
        "refused",
        "the message says what the folder holds",
    ),
)


MISNAMED = "must be renamed"
IN_PLANE = "inplaneT2"
"""Suffix of T2w in the plane of functional scans, which are taken where a session has no other T2w."""


class BidsSource(ScanSource[Bids]):
    """A BIDS data set, or a derivative of one."""

    def find_scans(self) -> list[Scan]:
        """As in the base class."""
        self.content = read_bids(self.label, self.settings)
        return self.content.scans

    def make_scans(self, folder: Path) -> list[Scan]:  # noqa: ARG002
        """As in the base class; makes no files."""
        self.content = read_bids(self.label, self.settings)
        return self.content.scans + self.content.failed


@dataclass
class _Files:
    """The files of the modality in one session of a subject."""

    images: list[Path] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    """Sentences on files without data, as in a clone without its data."""
    scouts: list[Path] = field(default_factory=list)
    """Localizers and the like."""
    foreign: list[str] = field(default_factory=list)
    """Sentences on files that bear the name of another subject."""


def read_bids(label: str, settings: Bids) -> SourceContent:
    """The scans of a BIDS folder, sorted, without excluded subjects and other groups.

    If a session has several files of the modality, one with a lesion mask is preferred, then one without contrast
    agent, then one that is not in the plane of functional scans, then the shortest name. `.bidsignore` applies to
    scans, not to lesion masks. Raises InputError if the folder cannot be read, if it holds no scan of the modality or,
    where patients are to be scored, no lesion mask, or if an excluded subject or a group in the settings does not
    exist.
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
    wanted = {scan.subject for scan in scans}
    for subject in reader.there:
        if _labels(subject) in wanted:
            reader.read(subject)
    references = {scan.scan: scan.image for scan in reader.content.scans}
    return [changed(scan, reference=references.get(scan.scan, "")) for scan in scans]


class _Reader:
    """Reads one data set, subject by subject."""

    def __init__(self, label: str, settings: Bids):
        self.label, self.settings = label, settings
        self.base = _base(label, settings)
        self.there = self.wanted = self._subject_folders()
        self.participants = Participants(label, settings, self.base, self.there)
        self.masks = MaskFinder(label, settings, frozenset(self.there))
        self.ignored = names.Ignored(self.base)
        self.content = SourceContent(notes=self.participants.notes)
        self.seen: list[Participant] = []
        self.unwanted: Counter[str] = Counter()
        self.without_data: list[str] = []
        """Sentences on scans and masks that are there in name only."""
        self.unclear: list[str] = []
        """Why masks that are there were not taken."""
        with_entities = ", ".join(f"{key}: {value}" for key, value in settings.entities.items())
        self.like = f"*_{settings.modality}.nii.gz{' with ' * bool(with_entities)}{with_entities}"
        self.folders = ("ct", "anat") if settings.modality == "ct" else ("anat",)

    def _subject_folders(self) -> list[str]:
        try:
            return _folders(self.base, "sub-")
        except OSError as error:
            why, do = str(error.strerror), f"correct datasets.{self.label}.root or the folder's rights"
            raise InputError(f"cannot read the folder of {self.label}", file=self.base, why=why, do=do) from None

    def _refuse_twins(self) -> None:
        """Raise InputError for folders whose names become one label, or which some file systems take for one."""
        first: dict[str, str] = {}
        for name in self.there:
            other = first.setdefault(_labels(name).casefold(), name)
            if other != name:
                why, do = f"both become {_labels(name)}", "rename one of the two folders"
                raise InputError(f"{self.label} has {other} and {name}", file=self.base, why=why, do=do)
            if not names.clean(name[4:]):
                do = "rename it to sub-<letters and digits>"
                raise InputError(f"{name} of {self.label} has no letter or digit", file=self.base, do=do)

    def subjects(self) -> list[str]:
        """The subjects that are neither excluded nor ignored and have the wanted label."""
        there = self.there
        self._refuse_twins()
        if unknown := set(self.settings.exclude) - {*there, *map(_labels, there)}:
            first = min(unknown)
            near = next((name for name in there if names.same_label(name) == names.same_label(first)), None)
            do = f"did you mean {near}?" if near else f"correct datasets.{self.label}.exclude"
            raise InputError(f"{first} is excluded but not in {self.label}", file=self.base, do=do)
        if "sub" in (wanted := self.settings.entities):
            there = [
                name for name in there if names.matches({"sub": name.removeprefix("sub-")}, {"sub": wanted["sub"]})
            ]
        kept = [name for name in there if not {name, _labels(name)} & set(self.settings.exclude)]
        self.wanted = [name for name in kept if f"{name}/" not in self.ignored]
        return self.wanted

    def read(self, subject: str) -> None:
        """Add a subject's scans, or a failed row with the reason."""
        try:
            files = self._files(subject)
        except OSError as error:
            self._fail(subject, f"its folder cannot be read: {error.strerror}")
            return
        known = self.participants.sessions_of(subject, self.base / subject, list(filter(None, files)))
        self.seen += known.values()
        whose = {session: known.get(session, known[""]) for session in files} or known
        groups = self.settings.groups
        if groups and not any(participant.group for participant in whose.values()):
            self._fail(subject, f"its group is unknown: {next(iter(whose.values())).why_no_group}")
            return
        mine = [name for name, p in whose.items() if groups is None or groups.takes(p.group, self.settings.healthy)]
        taken = {session: files[session] for session in sorted(mine) if session in files}
        lost = [sentence for each in taken.values() for sentence in each.missing]
        self.without_data += lost
        scouts = [f"{path.name} is a localizer or the like" for each in taken.values() for path in each.scouts]
        foreign = [sentence for each in taken.values() for sentence in each.foreign]
        scans = [
            self._scan(subject, name, each, whose[name], lost + foreign) for name, each in taken.items() if each.images
        ]
        if twins := [label for label, n in Counter(scan.scan for scan in scans).items() if n > 1]:
            self._fail(subject, f"{' and '.join(taken)} both become {twins[0]}: rename one of the folders")
            return
        if long := [scan for scan in scans if len(scan.scan) > names.LONGEST_LABEL]:
            why = f"{len(long[0].scan)} letters, at most {names.LONGEST_LABEL} are possible: rename its folder"
            self._fail(subject, f"its name has {why}")
            return
        self.content.scans += scans
        if mine and not scans:
            self._fail(subject, "; ".join(lost + foreign + scouts) or f"no {self.like} in {self.folders[0]}/")

    def check(self) -> None:
        """Raise InputError if the content cannot be used."""
        label, settings = self.label, self.settings
        self.participants.check(self.seen, settings.healthy)
        if not self.content.scans:
            why = f"no file matches sub-*/[ses-*/]{self.folders[0]}/{self.like}"
            if self.unwanted:
                why += "; there are " + ", ".join(f"{name} ({n})" for name, n in sorted(self.unwanted.items()))
            do = f"correct datasets.{label}"
            if self.there and not self.wanted:
                why, do = f"all of its {len(self.there)} subjects are left out", f"{do}.exclude, or its .bidsignore"
            elif not self.there:
                why, do = self._where_subjects_are()
            elif self.without_data and MISNAMED in self.without_data[0]:
                why, do = self.without_data[0], "rename these files and folders"
            elif self.without_data:
                why, do = f"{self.without_data[0]}: the clone lacks its data", FETCH
            elif self.content.failed:
                why += f"; {self._there_instead(self.content.failed[0])}"
            raise InputError(f"{label} holds no scans", file=self.base, why=why, do=do)
        if not settings.healthy and settings.split is not None and not any(scan.mask for scan in self.content.scans):
            mask = settings.mask
            like = mask if isinstance(mask, str) else f"*_{mask.suffix}.nii.gz with {mask.entities}"
            why, do = f"no file matches {like}", f"correct datasets.{label}.mask, or set its split to null"
            if self.without_data:
                why, do = f"{self.without_data[0]}: the clone lacks its data", FETCH
            elif self.unclear:
                why = self.unclear[0]
            elif similar := self.masks.similar(Path(self.content.scans[0].image).parent):
                why += f", but beside a scan there are {', '.join(similar[:SHOWN])}"
            raise InputError(f"{label} has no lesion mask to score by", file=self.base, why=why, do=do)
        self.content.notes += unmasked_note(self.content.scans, settings)

    def _where_subjects_are(self) -> tuple[str, str]:
        """Why there is no `sub-*`, and what to do: a folder below may be the right one, or the names differ."""
        key = "root" if self.settings.derivatives is None else "derivatives"
        do = f"correct datasets.{self.label}.{key}"
        folders = _folders(self.base, "")
        if other := [name for name in folders if name.lower().startswith(("sub-", "sub_", "sub"))]:
            return (
                f"there is no folder sub-*, but {other[0]}",
                "rename the folders to sub-<label>, or list scans in a table",
            )
        for name in folders:
            with suppress(OSError):
                if _folders(self.base / name, "sub-"):
                    return f"there is no folder sub-* in it, but in {name}/", do
        return "there is no folder sub-*" + (f", but {', '.join(folders[:SHOWN])}" if folders else ""), do

    def _there_instead(self, failed: Scan) -> str:
        """What lies in the folder of a subject without a scan."""
        folder = self.base / next((name for name in self.there if _labels(name) == failed.subject), failed.subject)
        for part in ("ses-", *self.folders):
            with suppress(OSError):
                folder = next((folder / name for name in _folders(folder, part)), folder)
        try:
            files = sorted(path.name for path in folder.iterdir())
        except OSError:
            files = []
        listed = ", ".join(files[:SHOWN]) or "nothing"
        return f"{failed.subject}: {failed.note}; {folder.relative_to(self.base)}/ has {listed}"

    def _fail(self, subject: str, note: str) -> None:
        label = _labels(subject)
        self.content.failed.append(Scan(label, label, self.label, state="failed", note=note))

    def _files(self, subject: str) -> dict[str, _Files]:
        """The files of the modality with the wanted entities, by session; "" is the key without sessions."""
        files: dict[str, _Files] = defaultdict(_Files)
        asked_for = {"acq", "desc", "rec", "part"} & set(self.settings.entities)
        for session in ("", *_folders(self.base / subject, "ses-")):
            for place in ("/".join(filter(None, (subject, session, folder))) for folder in self.folders):
                for name, exists in names.nifti_files(f"{self.base}/{place}").items():
                    if not _has_modality(name, self.settings.modality) or f"{place}/{name}" in self.ignored:
                        continue
                    own = names.entities_of(name, subject, session)
                    if other := [folder for folder in (subject, session) if _is_foreign(own, folder)]:
                        files[session].foreign.append(f"{name} lies in {other[0]}, but bears another label")
                        continue
                    own |= {folder[:3]: folder[4:] for folder in (subject, session) if folder}
                    if not names.matches(own, self.settings.entities):
                        keys = self.settings.entities
                        self.unwanted.update(f"{key}-{own[key]}" if key in own else f"no {key}" for key in keys)
                        continue
                    each = files[f"ses-{own['ses']}" if "ses" in own else ""]
                    path = self.base / place / name
                    if names.is_scout(name) and not asked_for:
                        each.scouts.append(path)
                    elif part := misread(f"{place}/{name}"):
                        shown = f"{place}/{name}".encode(errors="replace").decode()
                        each.missing.append(f"{shown} {MISNAMED}, Snakemake would misread {part!a}")
                    elif exists:
                        each.images.append(path)
                    else:
                        each.missing.append(f"{name} {content_missing(path)}")
        return files

    def _scan(self, subject: str, session: str, files: _Files, participant: Participant, lost: list[str]) -> Scan:
        with_agent = {path.name for path in files.images if "ce" in names.entities(path.name)}
        with_agent = set() if self.settings.modality == "T1ce" else with_agent
        in_plane = {path.name for path in files.images if names.suffix(path.name) == IN_PLANE}
        images = sorted(
            files.images, key=lambda path: (path.name in with_agent, path.name in in_plane, len(path.name), path.name)
        )
        place = ScanLocation(subject, session, images[0].parent)
        masks = self.masks.masks(place)
        image = next((path for path in images if masks_of_scan(masks, path.name)), images[0])
        candidates = masks_of_scan(masks, image.name)
        own = self.masks.chosen(candidates, image.name)
        self.without_data += own.missing
        if masks and not own.masks:
            self.unclear.append(own.note or f"{masks[0].name} belongs to another file than {image.name}")
        all_images = [*images, *files.scouts]
        chosen = [f"{image.name} of {len(all_images)} files"] * (len(all_images) > 1)
        agent = ["with contrast agent"] * (image.name in with_agent)
        label = _labels(subject, session)
        self.content.about_files[label] = [*chosen, *agent, *lost]
        notes = [*chosen, *[own.note] * bool(own.note)]
        if masks and not candidates:
            notes.append(f"{masks[0].name} belongs to another file")
        notes += agent
        if label != "_".join(filter(None, (subject, session))):
            notes.append(f"its folder is {'/'.join(filter(None, (subject, session)))}")
        return Scan(
            scan=label,
            subject=_labels(subject),
            dataset=self.label,
            image=str(image),
            mask=MASK_SEPARATOR.join(map(str, own.masks)),
            age=participant.age,
            sex=participant.sex,
            site=participant.site,
            note="; ".join([*notes, *lost, *own.missing, *[participant.note] * bool(participant.note)]),
        )


def _is_foreign(own: Mapping[str, str], folder: str) -> bool:
    """Whether a file's name bears another label than its folder; `ses-1` and `ses-01` are the same."""
    written = own.get(folder[:3], "")
    if written in ("", folder[4:]):
        return False
    return names.same_label(written) != names.same_label(folder[4:])


def _labels(*folders: str) -> str:
    """Names of folders as BIDS labels, of letters and digits: `sub-AD_001`, `ses-pre_op` as `sub-AD001_ses-preop`."""
    return "_".join(f"{folder[:4]}{names.clean(folder[4:])}" for folder in folders if folder)


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
        return sorted(entry.name for entry in entries if entry.name.startswith(prefix) and _is_folder(entry))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether it is a folder or a link that leads nowhere, for the subject behind it must be listed."""
    try:
        return entry.is_dir() or (entry.is_symlink() and not Path(entry.path).exists())
    except OSError:
        return True


def _has_modality(name: str, modality: str) -> bool:
    """BIDS marks T1 with contrast agent by the entity `ce`; many data sets use the suffix `T1ce` instead.

    T2w in the plane of functional scans has a suffix of its own.
    """
    suffix = names.suffix(name)
    if modality == "T2w" and suffix == IN_PLANE:
        return True
    if modality == "T1ce" and suffix == "T1w":
        return "ce" in names.entities(name)
    return suffix == modality or (modality == "ct" and suffix == "CT")
