"""Base class of the published data sets in `brainuad.download.sets`.

Imported while the Snakefile is parsed: only file names are read here, file contents in `convert`.
"""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from brainuad.config.datasets import Known, Modality
from brainuad.download.sources.content import SourceContent
from brainuad.download.transfer.remote import RemoteFile
from brainuad.formats.scans import Scan

Access = Literal["open", "form", "gated"]
"""`open`: anyone may download; `form`: free after registration or a signed form; `gated`: after a review."""


@dataclass(frozen=True)
class About:
    """What a user must know about a data set."""

    title: str
    licence: str
    access: Access
    page: str
    """Address of its page."""
    how_to_get: str
    """One or more sentences in the imperative."""
    layout: str
    """The files in the authors' own layout, one line each, relative to the data set's folder."""
    modalities: tuple[Modality, ...]
    terms_to_accept: bool = False
    """Whether it is downloaded only with `accept_licence: true`."""
    deviations: str = ""
    """Where the released files differ from what papers say, and what is left out."""


class KnownSet(ABC):
    """A published data set: one subclass per module of `brainuad.download.sets`, assigned to `SET` there."""

    about: ClassVar[About]
    converts: ClassVar[bool] = False
    """Whether `convert` writes files, which the study then reads in place of the originals."""
    settings_class: ClassVar[type[Known]] = Known
    example: ClassVar[dict[str, str]] = {}
    """Valid values of the settings that a study must give besides source, modality and healthy."""
    folder_name: ClassVar[str] = ""
    """Default folder below `data/`; the name of the data set if empty."""

    def remotes(self, settings: Known) -> list[RemoteFile]:  # noqa: ARG002
        """The files to download; empty if the user has to provide them."""
        return []

    def files_to_download(self, settings: Known, read: Callable[[str], bytes]) -> list[RemoteFile]:  # noqa: ARG002
        """The files to download, for a data set whose `remotes` are file lists on a server.

        `read` returns the content of an address. Called by the fetch job only, never while the Snakefile is parsed.
        """
        return self.remotes(settings)

    @abstractmethod
    def find_scans(self, label: str, settings: Known) -> SourceContent:
        """The scans of `settings.modality`, of healthy subjects or of patients as `settings.healthy` says, sorted."""

    def convert(self, scan: Scan, folder: Path) -> Scan:  # noqa: ARG002
        """Write NIfTI files that a study can read to `folder`; returns the scan with their paths.

        Raises InputError if the scan is broken: this scan is then marked as failed.
        """
        return scan


def known_set(name: str) -> KnownSet:
    """The data set with this name."""
    dataset: KnownSet = importlib.import_module(f"brainuad.download.sets.{name}").SET()
    return dataset
