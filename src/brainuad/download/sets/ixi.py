"""IXI: healthy adults of three London hospitals."""

from __future__ import annotations

import re

from brainuad.config.datasets import Known
from brainuad.download.known.find_files import count_note
from brainuad.download.known.known_set import About, KnownSet
from brainuad.download.sources.content import SourceContent
from brainuad.download.transfer.remote import RemoteFile
from brainuad.formats.scans import Scan

SUFFIX = {"T1w": "T1", "T2w": "T2", "PDw": "PD"}
RELEASED = {"T1w": 581, "T2w": 578, "PDw": 578}
"""Files of each archive."""
NAME = re.compile(r"IXI(\d{3})-(Guys|HH|IOP)-\d{4}-(T1|T2|PD)\.nii(\.gz)?")
HOST = "http://biomedic.doc.ic.ac.uk/brain-development/downloads/IXI"
CHECKSUM = {
    "T1w": "md5:34901a0593b41dd19c1a1f746eac2d58",
    "T2w": "md5:e3140d78730ecdd32ba92da48c0a9aaa",
    "PDw": "md5:88ecd9d1fa33cb4a2278183b42ffd749",
}
"""Of the archives; the authors publish none. Source, as of the address: torchio, datasets/ixi.py."""


class Ixi(KnownSet):
    """Scans with skull; the hospital stands in the file name, and so does the scanner."""

    about = About(
        title="IXI",
        licence="CC BY-SA 3.0",
        access="open",
        page="https://brain-development.org/ixi-dataset/",
        how_to_get="Download IXI-T1.tar (or T2, PD) and unpack it.",
        layout="IXI002-Guys-0828-T1.nii.gz   (in the folder itself or in one folder below it)",
        modalities=("T1w", "T2w", "PDw"),
    )

    def remotes(self, settings: Known) -> list[RemoteFile]:
        """The archive of one modality: T1 4.5 GB."""
        name = f"IXI-{SUFFIX[settings.modality]}.tar"
        return [RemoteFile(f"{HOST}/{name}", name, CHECKSUM[settings.modality])]

    def find_scans(self, label: str, settings: Known) -> SourceContent:
        """Everyone is healthy; a participant of the set has one scan of a modality."""
        wanted = SUFFIX[settings.modality]
        scans: dict[str, Scan] = {}
        problems: list[str] = []
        for path in sorted([*settings.folder.glob("IXI*.nii*"), *settings.folder.glob("*/IXI*.nii*")]):
            parts = NAME.fullmatch(path.name)
            if parts is None:
                problems.append(f"{path.name} is no name of IXI")
            elif parts[3] == wanted:
                subject = f"sub-IXI{parts[1]}"
                if subject in scans:
                    problems.append(f"{path.name} occurs twice")
                scans[subject] = Scan(subject, subject, label, image=str(path), site=parts[2])
        notes = count_note(len(scans), RELEASED[settings.modality], f"{wanted} scans")
        if not settings.healthy:
            problems.append("IXI holds healthy people only: set healthy: true")
        return SourceContent([scans[name] for name in sorted(scans)], problems, notes)


SET = Ixi
