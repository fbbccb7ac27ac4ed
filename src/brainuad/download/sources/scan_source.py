"""What every source of scans can do: the base of the four classes that `source_of` chooses from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Generic, TypeVar

from brainuad.config.datasets import Scans
from brainuad.config.told import Told, count, listed, modality_in_words
from brainuad.download.sources.content import SourceContent, counted
from brainuad.download.transfer.remote import RemoteFile
from brainuad.formats.scans import Scan

S = TypeVar("S", bound=Scans)


TOLD_ELSEWHERE = (
    "source",
    "modality",
    "healthy",
    "split",
    "exclude",
    "controls",
    "optional",
    "register_with",
    "reading",
    "sequences",
    "aligned",
    "without",
)
"""Settings that other sentences of the methods section tell."""
PLACES = ("root", "file", "mask", "accept_licence")
"""Settings that say where files are, on one machine."""


class ScanSource(ABC, Generic[S]):
    """The scans of one data set of a study."""

    def __init__(self, label: str, settings: S):
        self.label, self.settings = label, settings
        self.content = SourceContent()
        """What `find_scans` or `make_scans` read, as far as it says something of it."""

    @property
    def remarks(self) -> list[str]:
        """What `find_scans` noticed, in sentences for a person."""
        read = self.settings.read_sequences
        told = {name: [self._lacks(scan, name) for scan in self.lacking(name)] for name in read}
        lacking = [line for name, each in told.items() for line in counted(each, f"sessions without {name}")]
        return [*self.content.remarks(), *self.read_without(), *lacking]

    def read_without(self) -> list[str]:
        """A sentence on sequences that are left out on purpose."""
        names = listed([modality_in_words(name) for name in self.settings.without])
        return [f"The sessions of `{self.label}` are read without {names}."] if names else []

    def lacking(self, sequence: str) -> list[Scan]:
        """The sessions that were found, and that have no file of a further sequence."""
        return [scan for scan in self.content.scans if scan.image and sequence not in scan.sequence_files()]

    def _lacks(self, scan: Scan, sequence: str) -> str:  # noqa: ARG002
        """A session without a sequence, with the reason if there is one to tell."""
        return scan.scan

    @property
    def makes_files(self) -> bool:
        """Whether `make_scans` writes the files of its scans; else these are read where they are."""
        return False

    def remotes(self) -> list[RemoteFile]:
        """What the fetch job downloads; empty if nothing is."""
        return []

    def files_to_convert(self, scans: list[Scan]) -> list[str]:  # noqa: ARG002
        """The files that `make_scans` reads for these scans."""
        return []

    def code_roots(self) -> list[str]:
        """Modules that are imported by a name from the settings; they count in the code hash of the jobs."""
        return []

    def describe(self) -> str:
        """A sentence for the methods section."""
        people = "healthy subjects" if self.settings.healthy else "subjects with lesions"
        left_out = self.settings.exclude
        named = f"; {count(len(left_out), 'subject')} left out by name" if left_out else ""
        what = f"Data set `{self.label}`: {modality_in_words(self.settings.modality)} scans of {people}{named}."
        return " ".join([what, *Told(self.settings).rest(*TOLD_ELSEWHERE, *PLACES)])

    @abstractmethod
    def find_scans(self) -> list[Scan] | None:
        """The scans without excluded subjects, from file names alone; None if they have not been downloaded yet.

        Fast: it runs each time the Snakefile is parsed.
        """

    @abstractmethod
    def make_scans(self, folder: Path) -> list[Scan]:
        """Every row of the table of scans, failed ones too; files that have to be made are written to `folder`."""
