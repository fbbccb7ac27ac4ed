"""Scans of a published data set in its own folder. Imported while the Snakefile is parsed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from brainuad.config.datasets import Known
from brainuad.download.known.known_set import KnownSet, known_set
from brainuad.download.sources.content import SourceContent
from brainuad.download.sources.scan_source import ScanSource
from brainuad.download.transfer.remote import ARCHIVES, UNFINISHED, RemoteFile
from brainuad.errors import ConfigError, InputError
from brainuad.formats import files
from brainuad.formats.scans import Scan

FETCHED = ".download/fetched.json"
"""In the data set's folder: the addresses that were downloaded."""


class KnownSource(ScanSource[Known]):
    """A data set of `brainuad.download.sets`."""

    def __init__(self, label: str, settings: Known):
        super().__init__(label, settings)
        self.dataset = known_set(settings.source)

    @property
    def makes_files(self) -> bool:
        """Whether its scans are converted."""
        return self.dataset.converts

    def remotes(self) -> list[RemoteFile]:
        """The files, or lists of files, on its server."""
        return self.dataset.remotes(self.settings)

    def code_roots(self) -> list[str]:
        """The module of the data set."""
        return [f"brainuad.download.sets.{self.settings.source}"]

    def describe(self) -> str:
        """As in the base class, with the title, page and licence of the data set."""
        about = self.dataset.about
        source = f" Source: {about.title}, {about.page} (licence: {about.licence})."
        return super().describe() + source + (f" {about.deviations}" if about.deviations else "")

    def find_scans(self) -> list[Scan] | None:
        """As in the base class. Raises ConfigError or InputError as `find_known_scans` does."""
        return self._find(self.settings)

    def files_to_convert(self, scans: list[Scan]) -> list[str]:
        """The files of these scans that exist."""
        if not self.makes_files:
            return []
        paths = [path.partition("#")[0] for scan in scans for path in scan.files().values()]
        return [path for path in dict.fromkeys(paths) if Path(path).is_file()]

    def make_scans(self, folder: Path) -> list[Scan]:
        """The scans, converted where the data set needs it; one that cannot be converted is a failed row.

        Raises InputError if the data set has not been downloaded.
        """
        scans = self._find(self.settings.model_copy(update={"exclude": []}))  # split excludes them
        if scans is None:
            do = "type `snakemake download` first"
            raise InputError(f"{self.label} is not downloaded yet", file=self.settings.folder, do=do)
        if not self.dataset.converts:
            return scans
        from brainuad.download.known.conversion import convert

        return convert(self.label, self.dataset, scans, folder)

    def _find(self, settings: Known) -> list[Scan] | None:
        content = read_known(self.label, settings)
        self.content = content or SourceContent()
        return None if content is None else content.scans


def find_known_scans(label: str, settings: Known) -> list[Scan] | None:
    """The scans of `read_known`."""
    content = read_known(label, settings)
    return None if content is None else content.scans


def read_known(label: str, settings: Known) -> SourceContent | None:
    """The scans without excluded subjects; None if the data set can be downloaded and has not been yet.

    Raises ConfigError if the files are missing and cannot be downloaded, with how to get them and their layout, or if
    the licence is not accepted; InputError with every deviation from the layout.
    """
    dataset, folder = known_set(settings.source), settings.folder
    about = dataset.about
    if settings.modality not in about.modalities:
        why = f"it has {', '.join(about.modalities)}"
        raise ConfigError(f"{settings.source} has no {settings.modality}", why=why, do=f"set datasets.{label}.modality")
    expected = f"Expected:\n{_indented(about.layout)}"
    if not _has_files(folder):
        _require_download(label, settings, dataset, expected)
        return None
    if _lacks_part(dataset, settings) or _only_archives(dataset, settings):
        return None
    content = dataset.find_scans(label, settings)
    if content.problems:
        why = "\n        ".join([f"{len(content.problems)} deviations:", *content.problems])
        do = f"correct the folder. {expected}"
        raise InputError(f"{settings.source} does not have its published layout", file=folder, why=why, do=do)
    if not content.scans:
        group = "healthy subjects" if settings.healthy else "patients"
        why = f"there is no {settings.modality} of {group}"
        do = f"correct datasets.{label}. {expected}"
        raise InputError(f"{label} holds no scans", file=folder, why=why, do=do)
    excluded = set(settings.exclude)
    if unknown := excluded - {scan.subject for scan in content.scans}:
        do = f"correct datasets.{label}.exclude"
        raise InputError(f"{sorted(unknown)[0]} is excluded but not in {label}", file=folder, do=do)
    return replace(content, scans=[scan for scan in content.scans if scan.subject not in excluded])


def record_fetched(folder: Path, remotes: list[RemoteFile]) -> None:
    """Add the addresses that were downloaded to the record in a data set's folder."""
    files.write_json(folder / FETCHED, sorted(_fetched(folder) | {remote.url for remote in remotes}))


def _fetched(folder: Path) -> set[str]:
    record = folder / FETCHED
    return set(json.loads(record.read_text(encoding="utf-8"))) if record.is_file() else set()


def _require_download(label: str, settings: Known, dataset: KnownSet, expected: str) -> None:
    """Raise ConfigError if the files cannot be downloaded, or not before the licence is accepted."""
    about = dataset.about
    if not dataset.remotes(settings):
        raise ConfigError(
            f"{settings.source} is missing and cannot be downloaded automatically",
            file=settings.folder,
            why=f"{about.title}: access {about.access}, licence {about.licence}, {about.page}",
            do=f"{about.how_to_get} Put the files there, or set datasets.{label}.root. {expected}",
        )
    if about.terms_to_accept and not settings.accept_licence:
        why = f"its terms: {about.licence}, {about.page}"
        do = f"read them, then set datasets.{label}.accept_licence: true"
        raise ConfigError(f"{settings.source} is downloaded once you accept its terms", why=why, do=do)


def _lacks_part(dataset: KnownSet, settings: Known) -> bool:
    """Whether another part of the data set was downloaded: another modality, or other subjects."""
    if not (settings.folder / FETCHED).is_file():
        return False
    return not {remote.url for remote in dataset.remotes(settings)} <= _fetched(settings.folder)


def _only_archives(dataset: KnownSet, settings: Known) -> bool:
    """Whether the folder holds nothing but archives of the data set, put there by hand: the fetch job unpacks them."""
    archives = {remote.path for remote in dataset.remotes(settings) if remote.path.endswith(ARCHIVES)}
    names = {entry.name for entry in settings.folder.iterdir() if not entry.name.startswith(".")}
    return bool(archives & names) and all(name.endswith(ARCHIVES) for name in names)


def _has_files(folder: Path) -> bool:
    """Whether a folder holds more than what an interrupted download leaves."""
    try:
        visible = any(not entry.name.startswith(".") for entry in folder.iterdir())
    except OSError:
        return False
    return visible and not (folder / UNFINISHED).exists()


def _indented(text: str) -> str:
    return "\n".join(f"          {line}" for line in text.strip().splitlines())
