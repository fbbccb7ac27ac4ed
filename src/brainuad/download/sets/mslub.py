"""MSLUB, also open_ms_data: patients with multiple sclerosis from Ljubljana, defaced, with a consensus of raters."""

from __future__ import annotations

import csv
from pathlib import Path

from brainuad.config.datasets import Known
from brainuad.download.known.find_files import count_note, patients_only_problem
from brainuad.download.known.known_set import About, KnownSet
from brainuad.download.known.lesion_types import lesion_types_of
from brainuad.download.sources.content import SourceContent
from brainuad.download.transfer.remote import RemoteFile
from brainuad.formats.scans import Scan, changed

FILE = {"FLAIR": "FLAIR", "T1w": "T1W", "T1ce": "T1WKS", "T2w": "T2W"}
VERSIONS = ("coregistered_resampled", "coregistered", "raw")
"""The first that is there is read."""
RELEASED = 30
HOST = "https://raw.githubusercontent.com/muschellij2/open_ms_data/65704901f60650824565aa5a4818611aa89716f4"
"""One state of the repository, so that files do not change; its tree has the files below for each of 30 patients."""


class Mslub(KnownSet):
    """Cross-sectional part: four contrasts on the grid of FLAIR, a brain mask, and lesions in FLAIR space."""

    about = About(
        title="3D MR image database of multiple sclerosis patients (MSLUB, open_ms_data)",
        licence="CC BY",
        access="open",
        page="https://github.com/muschellij2/open_ms_data",
        how_to_get="Clone the repository.",
        layout="""\
cross_sectional/coregistered_resampled/patient01/{FLAIR,T1W,T1WKS,T2W}.nii.gz   (1 mm)
cross_sectional/coregistered_resampled/patient01/{consensus_gt,brainmask}.nii.gz
cross_sectional/coregistered/patient01/...   (the same files on the grid of the scanner)
cross_sectional/raw/patient01/...            (no brainmask; only FLAIR lies on the grid of consensus_gt)
cross_sectional/patient_info.csv             (age and sex; may be missing)""",
        modalities=("FLAIR", "T1w", "T1ce", "T2w"),
        deviations="The repository's README lists 15 patients, its folders hold 30.",
    )
    converts = True

    def remotes(self, settings: Known) -> list[RemoteFile]:  # noqa: ARG002
        """The resampled version, file by file."""
        names = [f"{name}.nii.gz" for name in (*FILE.values(), "consensus_gt", "brainmask")]
        places = [f"cross_sectional/{VERSIONS[0]}/patient{n:02d}" for n in range(1, RELEASED + 1)]
        paths = ["cross_sectional/patient_info.csv", *(f"{place}/{name}" for place in places for name in names)]
        return [RemoteFile(f"{HOST}/{path}", path) for path in paths]

    def find_scans(self, label: str, settings: Known) -> SourceContent:
        """Every patient has lesions."""
        inner = settings.folder / "cross_sectional"
        root = inner if inner.is_dir() else settings.folder
        problems = patients_only_problem(settings)
        version = next((name for name in VERSIONS if (root / name).is_dir()), "")
        if not version:
            return SourceContent([], [*problems, f"none of the folders {', '.join(VERSIONS)} is there"])
        wanted = [f"{FILE[settings.modality]}.nii.gz", "consensus_gt.nii.gz"]
        if version != "raw":
            wanted.append("brainmask.nii.gz")
        elif settings.modality != "FLAIR":
            problems.append(f"in raw only FLAIR lies on the grid of consensus_gt: add {VERSIONS[0]}")
        participants = _participants(root / "patient_info.csv")
        scans = []
        folders = sorted(path for path in (root / version).iterdir() if path.is_dir())
        for folder in folders:
            number = folder.name.removeprefix("patient")
            if folder.name == number or not number.isdigit():
                problems.append(f"{version}/{folder.name} is no file of the data set")
                continue
            missing = [name for name in wanted if not (folder / name).is_file()]
            problems += [f"{version}/{folder.name}/{name} is missing" for name in missing]
            subject, (age, sex) = f"sub-patient{number}", participants.get(int(number), ("", ""))
            image, mask = (str(folder / name) for name in wanted[:2])
            lesion_type = lesion_types_of("mslub", "1")
            scans.append(Scan(subject, subject, label, image, mask, age=age, sex=sex, lesion_type=lesion_type))
        return SourceContent(scans, problems, count_note(len(scans), RELEASED, "patients"))

    def convert(self, scan: Scan, folder: Path) -> Scan:
        """The scan within its own brain mask; a raw one has none and stays as it is."""
        import numpy as np

        from brainuad.errors import InputError
        from brainuad.formats import volume

        path = Path(scan.image).with_name("brainmask.nii.gz")
        if not path.is_file():
            return scan
        image, brain = volume.read(scan.image), volume.read_mask(path)
        if not volume.same_grid(image, brain):
            raise InputError("brainmask.nii.gz does not lie on the grid of the scan", file=path)
        made = folder / f"{scan.scan}.nii.gz"
        volume.write(made, np.where(brain.data, image.data, 0), image.affine)
        return changed(scan, image=str(made))


def _participants(path: Path) -> dict[int, tuple[str, str]]:
    """Age and sex by number."""
    if not path.is_file():
        return {}
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        rows = [row for row in csv.DictReader(file) if (row.get("patient_id") or "").isdigit()]
    told = [[(row.get(key) or "").replace("N/A", "") for key in ("age", "sex")] for row in rows]
    return {int(row["patient_id"]): (age, sex) for row, (age, sex) in zip(rows, told, strict=True)}


SET = Mslub
