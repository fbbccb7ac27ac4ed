"""Data sets whose scans are several sequences of a session: each is read by itself, and joined by the scan's name.

Imported while the Snakefile is parsed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from brainuad.config.datasets import Bids, Scans, WithReference
from brainuad.config.told import listed, modality_in_words
from brainuad.download.sources.scan_source import ScanSource
from brainuad.download.transfer.remote import RemoteFile
from brainuad.errors import InputError
from brainuad.formats.handling import Handling
from brainuad.formats.scans import Scan, changed, with_sequences

HANDLED = (
    Handling(
        "names",
        "a session that lacks a sequence of the study",
        "warned",
        "`missing` of the study says what becomes of it; a data set without any scan of a sequence is refused",
    ),
)


WHOSE = ("sub", "ses")
"""Entities that bind all sequences of a session."""
OF_A_PIPELINE = ("space", "res", "den", "desc")
"""Entities that a pipeline gives to all its files: they bind every sequence that has no entities of its own."""


class SessionSource(ScanSource[Scans]):
    """A source of the scans of the first sequence, and one for each further sequence of their sessions."""

    def __init__(self, label: str, settings: Any, make: Callable[[str, Any], ScanSource[Any]]):
        super().__init__(label, settings)
        self.first = make(label, settings.model_copy(update={"sequences": []}))
        self.further = {name: make(label, _further(settings, name)) for name in settings.read_sequences}
        self._reasons: dict[str, dict[str, str]] = {}
        """By further sequence, why a scan or subject has none."""

    @property
    def makes_files(self) -> bool:
        """Whether those of its sequences are made."""
        return self.first.makes_files

    def remotes(self) -> list[RemoteFile]:
        """The files of all sequences, each once."""
        found = [remote for source in self._each() for remote in source.remotes()]
        return list({remote.url: remote for remote in found}.values())

    def files_to_convert(self, scans: list[Scan]) -> list[str]:
        """The files of all sequences of these scans."""
        return self.first.files_to_convert(scans)

    def code_roots(self) -> list[str]:
        """As in the base class."""
        return self.first.code_roots()

    def describe(self) -> str:
        """That of the first sequence, with the names of the others."""
        others = listed([modality_in_words(modality) for modality in self.further])
        return self.first.describe() + (f" Each session of `{self.label}` comes with {others}." if others else "")

    def find_scans(self) -> list[Scan] | None:
        """As in the base class. Raises InputError for a sequence of which there is no scan."""
        first = self.first.find_scans()
        others = {modality: source.find_scans() for modality, source in self.further.items()}
        there = {modality: scans for modality, scans in others.items() if scans is not None}
        if first is None or len(there) < len(others):
            return None
        self._reasons = {name: _reasons(source.content.failed) for name, source in self.further.items()}
        self.content = replace(self.first.content, scans=self._joined(first, there), notes=self._notes())
        return self.content.scans

    def make_scans(self, folder: Path) -> list[Scan]:
        """As in the base class; the files of further sequences are written to `folder`/<modality>."""
        first = self.first.make_scans(folder)
        others = {modality: source.make_scans(folder / modality) for modality, source in self.further.items()}
        self._reasons = {name: _reasons(scans) for name, scans in others.items()}
        rows = [self._with_reasons(scan) for scan in self._joined(first, others)]
        self.content = replace(self.first.content, scans=rows, notes=self._notes())
        return rows

    def _notes(self) -> list[str]:
        """On the data set, and with the name of a further sequence what is to be said of it alone."""
        told = self.first.content.notes
        of_others = [(name, each) for name, source in self.further.items() for each in source.content.notes]
        return [*told, *(f"{name}: {each}" for name, each in of_others if each not in told)]

    def _lacks(self, scan: Scan, sequence: str) -> str:
        why = self._why(scan, sequence)
        return f"{scan.scan}: {why}" if why else scan.scan

    def _why(self, scan: Scan, sequence: str) -> str:
        """Why a session has no file of a sequence, if there is something to tell."""
        failed = self._reasons[sequence]
        return failed.get(scan.scan) or failed.get(scan.subject, "")

    def _with_reasons(self, scan: Scan) -> Scan:
        """With the reasons why it lacks sequences in its note."""
        lacking = [name for name in self.further if scan.state != "failed" and name not in scan.sequence_files()]
        return _noted(scan, [f"{name}: {why}" for name in lacking if (why := self._why(scan, name))])

    def _each(self) -> list[ScanSource[Any]]:
        return [self.first, *self.further.values()]

    def _joined(self, first: list[Scan], others: Mapping[str, list[Scan]]) -> list[Scan]:
        images = {
            modality: {scan.scan: scan.image for scan in scans if scan.image and scan.state != "failed"}
            for modality, scans in others.items()
        }
        for modality, by_scan in images.items():
            if first and not self.makes_files and not {scan.scan for scan in first} & {*by_scan}:
                do = f"correct datasets.{self.label}, or take {modality} out of `modalities`"
                raise InputError(f"{self.label} has no {modality} in the session of a scan", do=do)
        return [self._with_files(scan, images) for scan in first]

    def _with_files(self, scan: Scan, images: Mapping[str, Mapping[str, str]]) -> Scan:
        """With its files of other sequences, paths by modality and scan, and what is to be said of the choice."""
        own = {name: by_scan[scan.scan] for name, by_scan in images.items() if scan.scan in by_scan}
        told = {name: self.further[name].content.about_files.get(scan.scan, []) for name in own}
        return _noted(with_sequences(scan, own), [f"{name}: {each}" for name, lines in told.items() for each in lines])


def _reasons(rows: Iterable[Scan]) -> dict[str, str]:
    return {row.scan: row.note for row in rows if row.state == "failed"}


def _noted(scan: Scan, sentences: list[str]) -> Scan:
    return changed(scan, note="; ".join(filter(None, [scan.note, *sentences])))


def _further(settings: Scans, modality: str) -> Scans:
    """The settings of a further sequence: who belongs to the data set is decided by the first one."""
    changes: dict[str, Any] = {"modality": modality, "sequences": [], "split": None, "exclude": []}
    if isinstance(settings, WithReference):
        changes["register_with"] = None
    if isinstance(settings, Bids):
        own = settings.entities_of.get(modality)  # type: ignore[call-overload]
        shared = WHOSE if own is not None else (*WHOSE, *OF_A_PIPELINE)
        changes["entities"] = {key: value for key, value in settings.entities.items() if key in shared} | (own or {})
        changes["entities_of"] = {}
        changes["groups"] = None
    return settings.model_copy(update=changes)
