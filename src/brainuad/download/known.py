"""What is known of a published data set, and how one enters: the base of the modules in `brainuad.download.sets`.

Light enough to run while the Snakefile is parsed: names are looked at here, the files behind them in `convert`.
"""

from __future__ import annotations

import importlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

from brainuad.config.datasets import Known, Modality
from brainuad.errors import ConfigError, InputError
from brainuad.formats import files
from brainuad.formats.scans import Scan

FETCHED = ".download/fetched.json"
"""The addresses from which parts of a set came, in its folder."""
ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz")
"""Endings of what is unpacked; `.nii.gz` is not among them."""
UNFINISHED = ".download/unfinished"
"""Lies in a set's folder while what was downloaded is moved there."""

Access = Literal["open", "form", "gated"]
"""`open`: anyone may download; `form`: free after registration or a signed form; `gated`: an application is judged."""


@dataclass(frozen=True)
class Remote:
    """A file to download. Source of addresses and checksums: the set's own pages."""

    url: str
    path: str
    """Where it goes, below the set's folder; an archive is unpacked beside itself."""
    checksum: str = ""
    """`sha256:...`, `sha1:...` or `md5:...`; empty where none is published."""
    tried: bool = False
    """Whether the address has been seen to answer; else a failure says that it never was."""
    login: str = ""
    """The service whose credentials it needs, such as `physionet`: `BRAINUAD_PHYSIONET_USER` and so on, or netrc."""


@dataclass(frozen=True)
class About:
    """What a user must know of a data set."""

    title: str
    licence: str
    access: Access
    home: str
    """Its page."""
    apply: str
    """How to get it: a sentence in the imperative."""
    layout: str
    """The files as its authors lay them, a line each, relative to the set's folder."""
    modalities: tuple[Modality, ...]
    terms: bool = False
    """Whether it is downloaded only after `accept_licence: true`."""
    deviations: str = ""
    """What a paper says of its count or content that the released files do not bear out."""


@dataclass(frozen=True)
class Found:
    """What lies in a set's folder."""

    scans: list[Scan] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    """Each a sentence: what is not as the layout says. Any of them stops the study; all are told at once."""
    notes: list[str] = field(default_factory=list)
    """Each a sentence: what a user should know and a study may go on with, such as an unusual count."""


class KnownSet(ABC):
    """A published data set: one subclass, named `SET` in its module, per name."""

    about: ClassVar[About]
    converts: ClassVar[bool] = False
    """Whether `convert` makes files; the study then reads those in place of the set's own."""
    settings_class: ClassVar[type[Known]] = Known
    """What a study says of it."""
    example: ClassVar[dict[str, str]] = {}
    """What a study must say of it besides source, modality and health: any valid values."""
    place: ClassVar[str] = ""
    """Its folder below `data/`; the name of the set where it is empty."""

    def remotes(self, settings: Known) -> list[Remote]:  # noqa: ARG002
        """What to download; nothing where the user brings the files."""
        return []

    def listed(self, settings: Known, read: Callable[[str], bytes]) -> list[Remote]:  # noqa: ARG002
        """The files behind `remotes`, where these are lists that only a server knows; `read` reads an address.

        Called when the set is downloaded, never while the Snakefile is parsed.
        """
        return self.remotes(settings)

    @abstractmethod
    def look(self, label: str, settings: Known) -> Found:
        """The scans of `settings.modality`, healthy ones or patients as `settings.healthy` says, sorted."""

    def convert(self, scan: Scan, folder: Path) -> Scan:  # noqa: ARG002
        """Make of one scan NIfTI files that a study can read, in `folder`; the row with their paths.

        Raises InputError if the scan is broken: the scan fails, the others go on.
        """
        return scan


def known_set(name: str) -> KnownSet:
    """The data set of this name."""
    module = importlib.import_module(f"brainuad.download.sets.{name}")
    found: KnownSet = module.SET()
    return found


def list_known(label: str, settings: Known) -> list[Scan] | None:
    """The scans of a known data set, excluded subjects left out; None where it can be downloaded and is not there yet.

    Raises ConfigError where it is not there and cannot be downloaded, with how to get it, where it goes and how it must
    lie, or where its terms are not accepted; InputError with everything that is not as it should be.
    """
    dataset, folder = known_set(settings.source), settings.folder
    about = dataset.about
    if settings.modality not in about.modalities:
        why = f"it has {', '.join(about.modalities)}"
        raise ConfigError(f"{settings.source} has no {settings.modality}", why=why, do=f"set datasets.{label}.modality")
    expected = f"Expected:\n{_indented(about.layout)}"
    if not _there(folder):
        if not dataset.remotes(settings):
            raise ConfigError(
                f"{settings.source} is not there and cannot be downloaded without you",
                file=folder,
                why=f"{about.title}: access {about.access}, licence {about.licence}, {about.home}",
                do=f"{about.apply} Put the files there, or set datasets.{label}.root. {expected}",
            )
        if about.terms and not settings.accept_licence:
            why = f"its terms: {about.licence}, {about.home}"
            do = f"read them, then set datasets.{label}.accept_licence: true"
            raise ConfigError(f"{settings.source} is downloaded once you accept its terms", why=why, do=do)
        return None
    if _lacks(dataset, settings) or _packed(dataset, settings):
        return None
    found = dataset.look(label, settings)
    if found.problems:
        why = "\n        ".join([f"{len(found.problems)} deviations:", *found.problems])
        do = f"mend the folder. {expected}"
        raise InputError(f"{settings.source} does not lie as its authors lay it", file=folder, why=why, do=do)
    if not found.scans:
        kind = "healthy subjects" if settings.healthy else "patients"
        why = f"no {settings.modality} of {kind} was found"
        do = f"correct datasets.{label}. {expected}"
        raise InputError(f"{label} holds no scans", file=folder, why=why, do=do)
    excluded = set(settings.exclude)
    if unknown := excluded - {scan.subject for scan in found.scans}:
        do = f"correct datasets.{label}.exclude"
        raise InputError(f"{sorted(unknown)[0]} is excluded but not in {label}", file=folder, do=do)
    return [scan for scan in found.scans if scan.subject not in excluded]


def remember(folder: Path, remotes: list[Remote]) -> None:
    """Note in a set's folder what has been downloaded, beside what was before."""
    note = folder / FETCHED
    before = set(json.loads(note.read_text(encoding="utf-8"))) if note.is_file() else set()
    files.write_json(note, sorted(before | {remote.url for remote in remotes}))


def _lacks(dataset: KnownSet, settings: Known) -> bool:
    """Whether the folder holds a download of another part of the set: another modality, or other subjects."""
    note = settings.folder / FETCHED
    if not note.is_file():
        return False
    return not {remote.url for remote in dataset.remotes(settings)} <= set(json.loads(note.read_text(encoding="utf-8")))


def _packed(dataset: KnownSet, settings: Known) -> bool:
    """Whether nothing lies there but archives of the set, as one brings them by hand: they are unpacked then."""
    archives = {remote.path for remote in dataset.remotes(settings) if remote.path.endswith(ARCHIVES)}
    names = {entry.name for entry in settings.folder.iterdir() if not entry.name.startswith(".")}
    return bool(archives & names) and all(name.endswith(ARCHIVES) for name in names)


def _there(folder: Path) -> bool:
    """Whether a folder holds more than what a download that was broken off leaves."""
    try:
        there = any(not entry.name.startswith(".") for entry in folder.iterdir())
    except OSError:
        return False
    return there and not (folder / UNFINISHED).exists()


def _indented(text: str) -> str:
    return "\n".join(f"          {line}" for line in text.strip().splitlines())
