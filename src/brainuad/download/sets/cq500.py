"""CQ500: head CT in DICOM, each read by three radiologists; Seg-CQ500 has masks of haemorrhage for 51 of them."""

from __future__ import annotations

import re
from pathlib import Path

from brainuad.config.datasets import Known
from brainuad.download.known.find_files import count_note, read_table
from brainuad.download.known.known_set import About, KnownSet
from brainuad.download.known.lesion_types import lesion_types_of
from brainuad.download.sources.content import SourceContent
from brainuad.download.transfer.remote import RemoteFile
from brainuad.formats.scans import Scan, changed

RELEASED, RELEASED_MASKS = 491, 51
READERS = ("r1", "r2", "r3")
BLOOD = ("iph", "ivh", "sdh", "edh", "sah")
FRACTURES = ("fracture", "calvarialfracture", "otherfracture")
BEYOND = ("chronicbleed", "masseffect", "midlineshift")
FINDINGS = ("ich", *BLOOD, *FRACTURES, *BEYOND)
HOST = "https://s3.ap-south-1.amazonaws.com/qure.headct.study"
FOLDER = re.compile(r"CQ500CT(\d+) CQ500CT\1")
CASE = re.compile(r"CQ500-CT-(\d+)")
VOLUMES = ("Seg-CQ500/data/volumes", "Seg-CQ500/Seg-CQ500/data/volumes", "data/volumes")


class Cq500(KnownSet):
    """Healthy: no reader saw anything. Patients: two of three saw bleeding, fracture, mass effect or midline shift."""

    about = About(
        title="CQ500, with Seg-CQ500",
        licence="CC BY-NC-SA 4.0 and its own end user licence agreement; masks of Seg-CQ500 CC BY 4.0",
        access="open",
        page="https://www.cq500.org",
        how_to_get="Download reads.csv and the archives CQ500-CT-0.zip to 490 and, for masks, Seg-CQ500.zip from "
        "zenodo.org/records/8063221; unpack them.",
        layout="""\
reads.csv
CQ500CT0 CQ500CT0/Unknown Study/CT Thin Plain/CT000000.dcm   (in the folder itself or in one folder below it)
Seg-CQ500/data/volumes/CQ500-CT-10/{CT.nii,ICH_mask.nii.gz}   (51 scans; these alone will do for patients)""",
        modalities=("ct",),
        terms_to_accept=True,
        deviations="Scans in which only one reader saw something are neither healthy nor patients, and are left out. "
        "Patients without a mask of Seg-CQ500 cannot be scored by voxel. Where there is a mask, the scan beside it in "
        "Seg-CQ500 is read. Users report that the archive of scan 120 is damaged.",
    )
    converts = True

    def remotes(self, settings: Known) -> list[RemoteFile]:  # noqa: ARG002
        """The table, an archive for each scan, and Seg-CQ500, 2.5 GB; no checksum is published."""
        masks = RemoteFile("https://zenodo.org/records/8063221/files/Seg-CQ500.zip", "Seg-CQ500/Seg-CQ500.zip")
        names = ["reads.csv", *(f"CQ500-CT-{number}.zip" for number in range(RELEASED))]
        return [*(RemoteFile(f"{HOST}/{name}", name) for name in names), masks]

    def find_scans(self, label: str, settings: Known) -> SourceContent:
        """Scans by what the three readers say."""
        root = settings.folder
        problems: list[str] = []
        reads = _reads(root / "reads.csv", problems)
        folders = _folders(root, problems)
        masks = _masks(root, problems)
        scans, unsure = [], 0
        for number in sorted({*folders, *masks}):
            if number not in reads:
                problems += [f"reads.csv does not name CQ500-CT-{number}"] if reads else []
                continue
            votes = reads[number]
            healthy = None if 0 < max(votes.values()) < 2 else max(votes.values()) == 0
            unsure += healthy is None
            mask = "" if healthy else masks.get(number, "")
            if healthy is settings.healthy and (mask or number in folders):
                image = str(Path(mask).with_name("CT.nii") if mask else folders[number])
                subject = f"sub-CQ500CT{number}"
                scans.append(Scan(subject, subject, label, image=image, mask=mask, lesion_type=_lesion_type(votes)))
        notes = count_note(len(folders), RELEASED, "scans") + count_note(len(masks), RELEASED_MASKS, "masks")
        notes += [f"{unsure} scans in which one reader alone saw something are left out"] if unsure else []
        return SourceContent(scans, problems, notes)

    def convert(self, scan: Scan, folder: Path) -> Scan:
        """The thinnest plain axial series; a scan of Seg-CQ500 is NIfTI already."""
        from brainuad.download.known import dicom
        from brainuad.download.known.checks import check_mask, require_hounsfield
        from brainuad.formats import volume

        if scan.mask:
            check_mask(scan.image, scan.mask, {0, 1})
            return changed(scan, note="scan and mask of Seg-CQ500")
        series, others = dicom.choose(dicom.find_series(Path(scan.image)))
        data, affine = dicom.read_series(series)
        require_hounsfield(data.astype("float32"), scan.image)
        made = folder / f"{scan.scan}.nii.gz"
        volume.write(made, data, affine)
        return changed(scan, image=str(made), note="; ".join([f"series {series.name}", *others]))


def _reads(path: Path, problems: list[str]) -> dict[int, dict[str, int]]:
    """How many of the readers saw each finding, by number of the scan."""
    if not path.is_file():
        problems.append("reads.csv is missing")
        return {}
    rows = read_table(path)
    wanted = ["name", *(f"{reader}:{finding}" for reader in READERS for finding in FINDINGS)]
    missing = [name for name in wanted if not rows or name not in rows[0]]
    if missing:
        problems += [f"reads.csv has no column {name}" for name in missing]
        return {}
    found: dict[int, dict[str, int]] = {}
    for row in rows:
        name = CASE.fullmatch(row["name"])
        if name is None:
            problems.append(f"reads.csv: {row['name']} is no name of CQ500")
        elif int(name[1]) in found:
            problems.append(f"reads.csv names {row['name']} twice")
        elif strange := [cell for key in wanted[1:] if (cell := row[key]) not in ("0", "1")]:
            problems.append(f"reads.csv: {row['name']} has {strange[0]!r} where 0 or 1 is expected")
        else:
            found[int(name[1])] = {key: sum(row[f"{reader}:{key}"] == "1" for reader in READERS) for key in FINDINGS}
    return found


def _lesion_type(votes: dict[str, int]) -> str:
    """What at least two readers saw; `other` for what has no name of its own."""
    agreed = {name for name, count in votes.items() if count > 1}
    lesion_types = set(lesion_types_of("cq500", agreed & {*BLOOD, *FRACTURES}).split(";")) - {""}
    if agreed & {*BEYOND} or ("ich" in agreed and not agreed & {*BLOOD}):
        lesion_types.add("other")
    return ";".join(sorted(lesion_types))


def _folders(root: Path, problems: list[str]) -> dict[int, Path]:
    """The folder of each scan."""
    found: dict[int, Path] = {}
    for path in sorted([*root.glob("CQ500CT*"), *root.glob("*/CQ500CT*")]):
        name = FOLDER.fullmatch(path.name)
        if name is None or not path.is_dir():
            problems.append(f"{path.name} is no folder of CQ500")
            continue
        number = int(name[1])
        if number in found:
            problems.append(f"{path.name} occurs twice")
        if next(path.rglob("*.dcm"), None) is None:
            problems.append(f"{path.name} holds no *.dcm")
        found[number] = path
    return found


def _masks(root: Path, problems: list[str]) -> dict[int, str]:
    """The mask of each scan that Seg-CQ500 has; its own scan must lie beside it."""
    found = {}
    for volumes in (root / name for name in VOLUMES):
        for folder in sorted(volumes.glob("CQ500-CT-*")):
            name = CASE.fullmatch(folder.name)
            missing = [file for file in ("CT.nii", "ICH_mask.nii.gz") if not (folder / file).is_file()]
            problems += [f"{folder.relative_to(root)}/{file} is missing" for file in missing]
            if name and not missing:
                found[int(name[1])] = str(folder / "ICH_mask.nii.gz")
    return found


SET = Cq500
