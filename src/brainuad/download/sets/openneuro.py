"""OpenNeuro: any of its BIDS data sets by accession number, from its public bucket."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import ClassVar

from brainuad.config.datasets import Bids, Known, OpenNeuro
from brainuad.download.known.known_set import About, KnownSet
from brainuad.download.sources import bids
from brainuad.download.sources.content import SourceContent
from brainuad.download.transfer.remote import RemoteFile
from brainuad.download.transfer.server_lists import s3_files, s3_list_url
from brainuad.errors import InputError

BUCKET = "https://s3.amazonaws.com/openneuro.org"
TABLES = ("dataset_description.json", "participants.tsv")
WANTED = re.compile(r"sub-[^/]+/(ses-[^/]+/)?(anat|ct)/[^/]+_(T1w|T2w|FLAIR|PDw|ct|mask|roi)\.(nii|nii\.gz)")
SESSIONS = re.compile(r"sub-[^/]+/[^/]+_sessions\.tsv")


class OpenNeuroSet(KnownSet):
    """Scans in BIDS order; which of its people are healthy is for the study to say."""

    settings_class = OpenNeuro
    example: ClassVar[dict[str, str]] = {"accession": "ds000001"}
    folder_name = "<accession>"
    about = About(
        title="OpenNeuro, by accession number",
        licence="CC0 for most sets; see dataset_description.json",
        access="open",
        page="https://openneuro.org",
        how_to_get="Set accession, such as ds000011, and type `snakemake download`; or download the set from its page.",
        layout="""\
participants.tsv   (may be missing)
sub-01/[ses-1/]anat/sub-01[_ses-1]_T1w.nii.gz   (ct/ for CT; lesion masks beside the scan)""",
        modalities=("T1w", "T2w", "FLAIR", "PDw", "ct"),
        deviations="The bucket holds the newest version of a set only, and derivatives are not downloaded.",
    )

    def remotes(self, settings: Known) -> list[RemoteFile]:
        """Lists of the bucket: of the whole set, or of each subject that is wanted."""
        return [
            RemoteFile(s3_list_url(BUCKET, f"{_accession(settings)}/{prefix}"), "") for prefix in _prefixes(settings)
        ]

    def files_to_download(self, settings: Known, read: Callable[[str], bytes]) -> list[RemoteFile]:
        """The scans and masks of `anat` and `ct`, and the tables; a checksum where the bucket tells an MD5."""
        accession = _accession(settings)
        prefixes = (*TABLES, *_prefixes(settings))
        found = [remote for prefix in prefixes for remote in s3_files(BUCKET, f"{accession}/{prefix}", read)]
        files = [replace(remote, path=remote.path.removeprefix(f"{accession}/")) for remote in found]
        scans = [remote for remote in files if WANTED.fullmatch(remote.path) or SESSIONS.fullmatch(remote.path)]
        if not scans:
            why, do = "its bucket lists no scan of it", "correct accession or subjects"
            raise InputError(f"{accession} has nothing to download", file=BUCKET, why=why, do=do)
        return [remote for remote in files if remote.path in TABLES] + scans

    def find_scans(self, label: str, settings: Known) -> SourceContent:
        """As BIDS folders are read; wanted subjects that are missing are told."""
        subjects = _subjects(settings)
        missing = [name for name in subjects if not (settings.folder / name).is_dir()]
        problems = [f"{name} is among subjects and not there" for name in missing]
        if problems:
            return SourceContent([], problems)
        found = bids.read_bids(label, _as_bids(settings, subjects))
        notes = [f"{scan.subject}: {scan.note}" for scan in found.failed]
        return SourceContent(found.scans, [], notes, about_files=found.about_files)


def _as_bids(settings: Known, subjects: list[str]) -> Bids:
    assert isinstance(settings, OpenNeuro)
    wanted = {"sub": [name.removeprefix("sub-") for name in subjects]} if subjects else {}
    kept = settings.model_dump(include={"modality", "healthy", "split", "groups"})
    return Bids.model_validate({"source": "bids", "root": str(settings.folder), "entities": wanted, **kept})


def _accession(settings: Known) -> str:
    assert isinstance(settings, OpenNeuro)
    return settings.accession


def _subjects(settings: Known) -> list[str]:
    assert isinstance(settings, OpenNeuro)
    return settings.subjects or []


def _prefixes(settings: Known) -> list[str]:
    """Of the keys of the wanted subjects' files, below the accession."""
    return [f"{name}/" for name in _subjects(settings)] or ["sub-"]


SET = OpenNeuroSet
