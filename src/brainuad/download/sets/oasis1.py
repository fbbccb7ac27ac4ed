"""OASIS-1: T1-weighted scans of 416 people from 18 to 96 years, some of them with dementia."""

from __future__ import annotations

import re
from pathlib import Path

from brainuad.config.datasets import Known
from brainuad.download.known.find_files import count_note
from brainuad.download.known.known_set import About, KnownSet
from brainuad.download.sources.content import SourceContent
from brainuad.download.transfer.remote import RemoteFile
from brainuad.formats.scans import Scan, changed

RELEASED = 436
"""Sessions: 416 people once, 20 of them again. Source: the set's page."""
NAME = re.compile(r"OAS1_(\d{4})_MR([12])")
SCAN = "PROCESSED/MPRAGE/T88_111"
GRID = (176, 208, 176)
"""Voxels of 1 mm of the T88 files; their axes run left, front and up. Source: OASIS fact sheet; brainspresso's OASIS I
converter, after brainder.org/2011/08/13/converting-oasis-brains-to-find_nifti (a capsule on the left of every head)."""
YOUNG = 60.0
"""Years below which a missing rating of dementia is taken as none: those who are older were rated."""
FIRST = "md5:c83e216ef8654a7cc9e2a30a4cdbe0cc"
"""Checksum of disc 1, from a tutorial of MONAI; none of the others is published."""


class Oasis1(KnownSet):
    """Stripped scans in Talairach space. Healthy: CDR 0, or no CDR and young; patients: CDR above 0, without masks."""

    about = About(
        title="OASIS-1 (cross-sectional)",
        licence="OASIS data use agreement",
        access="open",
        page="https://sites.wustl.edu/oasisbrains/home/oasis-1/",
        how_to_get="Download oasis_cross-sectional_disc1.tar.gz to disc12 and unpack them.",
        layout="""\
disc1/OAS1_0001_MR1/OAS1_0001_MR1.txt   (AGE, M/F, CDR; the disc folder may be missing)
disc1/OAS1_0001_MR1/PROCESSED/MPRAGE/T88_111/OAS1_0001_MR1_mpr_n4_anon_111_t88_masked_gfc.{hdr,img}""",
        modalities=("T1w",),
        terms_to_accept=True,
        deviations="The release counts 416 people and 436 sessions: MR2 is a second one of 20 people. 100 of those "
        "over 60 have a dementia rating above 0 and are patients here.",
    )
    converts = True

    def remotes(self, settings: Known) -> list[RemoteFile]:  # noqa: ARG002
        """Twelve archives, about 1.5 GB each; addresses as on the set's page."""
        names = [f"oasis_cross-sectional_disc{n}.tar.gz" for n in range(1, 13)]
        checksums = [FIRST, *[""] * 11]
        host = "https://download.nrg.wustl.edu/data"
        return [RemoteFile(f"{host}/{name}", name, checksum) for name, checksum in zip(names, checksums, strict=True)]

    def find_scans(self, label: str, settings: Known) -> SourceContent:
        """A participant's sessions are scans of their own."""
        scans: dict[str, Scan] = {}
        problems: list[str] = []
        unrated = sessions = 0
        root = settings.folder
        for folder in sorted(path for path in (*root.glob("OAS1_*"), *root.glob("*/OAS1_*")) if path.is_dir()):
            parts = NAME.fullmatch(folder.name)
            if parts is None:
                problems.append(f"{folder.relative_to(root)} is no name of OASIS-1")
                continue
            sessions += 1
            about = _about(folder / f"{folder.name}.txt")
            if not about:
                problems.append(f"{folder.name}/{folder.name}.txt is missing or names no age")
            images = sorted((folder / SCAN).glob("*_t88_masked_gfc.hdr"))
            if len(images) != 1 or not images[0].with_suffix(".img").is_file():
                problems.append(f"{folder.name}/{SCAN} holds no pair *_t88_masked_gfc.hdr and .img")
            subject = f"sub-OAS1{parts[1]}"
            name = f"{subject}_ses-MR{parts[2]}"
            if name in scans:
                problems.append(f"{folder.name} occurs twice")
            healthy = _healthy(about)
            unrated += healthy is None
            if images and healthy is settings.healthy:
                age, sex = about.get("AGE", ""), about.get("M/F", "")[:1]
                scans[name] = Scan(name, subject, label, image=str(images[0]), age=age, sex=sex)
        if not sessions:
            problems.append("no folder OAS1_<number>_MR<session> is there")
        notes = count_note(sessions, RELEASED, "sessions")
        if unrated:
            notes.append(f"{unrated} sessions of people from {YOUNG:g} years on without a CDR are left out")
        return SourceContent([scans[name] for name in sorted(scans)], problems, notes)

    def convert(self, scan: Scan, folder: Path) -> Scan:
        """Analyze to NIfTI, with the orientation that the set is known to have."""
        from brainuad.download.known.images import centred_affine, read_analyze
        from brainuad.formats import volume

        made = folder / f"{scan.scan}.nii.gz"
        volume.write(made, read_analyze(scan.image, GRID), centred_affine((-1, 1, 1), GRID))
        return changed(scan, image=str(made))


def _about(path: Path) -> dict[str, str]:
    """What a session's text file says, line by line as `KEY: value`; nothing without an age."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    found = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    return found if _number(found.get("AGE", "")) is not None else {}


def _healthy(about: dict[str, str]) -> bool | None:
    """None where it is not known."""
    rating, age = _number(about.get("CDR", "")), _number(about.get("AGE", ""))
    if rating is not None:
        return rating == 0
    return True if age is not None and age < YOUNG else None


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


SET = Oasis1
