"""The WMH segmentation challenge: white matter hyperintensities of presumed vascular origin, five scanners."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from brainuad.config.datasets import Known
from brainuad.download.known.find_files import count_note, patients_only_problem
from brainuad.download.known.known_set import About, KnownSet
from brainuad.download.known.lesion_types import lesion_types_of
from brainuad.download.sources.content import SourceContent
from brainuad.download.transfer.remote import RemoteFile
from brainuad.download.transfer.server_lists import dataverse_files
from brainuad.formats.scans import Scan, changed

SERVER = "https://dataverse.nl"
LIST = f"{SERVER}/api/datasets/:persistentId/?persistentId=doi:10.34894/AECRSD"
FILE = {"FLAIR": "FLAIR.nii.gz", "T1w": "T1.nii.gz"}
RELEASED = {"training": 60, "test": 110}
"""Source: https://wmh.isi.uu.nl."""
SITES = ("Utrecht", "Singapore", "Amsterdam GE3T", "Amsterdam GE1T5", "Amsterdam Philips_VU")
WANTED = re.compile(r"(training|test)/.+/(pre/(FLAIR|T1)\.nii\.gz|wmh\.nii\.gz)")


class Wmh(KnownSet):
    """Label 1 is the lesion; label 2, other pathology, is not scored. Source: wmh.isi.uu.nl, reference standard."""

    about = About(
        title="WMH segmentation challenge (MICCAI 2017)",
        licence="CC BY-NC 4.0",
        access="open",
        page="https://doi.org/10.34894/AECRSD",
        how_to_get="Download the folders training and test from DataverseNL.",
        layout="""\
{training,test}/{Utrecht,Singapore}/<id>/wmh.nii.gz
{training,test}/{Utrecht,Singapore}/<id>/pre/{FLAIR,T1}.nii.gz
{training,test}/Amsterdam/<scanner>/<id>/...   (the same; GE3T or, in test alone, GE1T5 or Philips_VU .PETMR_01.)""",
        modalities=("FLAIR", "T1w"),
        terms_to_accept=True,
        deviations="The challenge kept its 110 test subjects back; since December 2022 they are released with masks.",
    )
    converts = True

    def remotes(self, settings: Known) -> list[RemoteFile]:  # noqa: ARG002
        """The list of files, which DataverseNL keeps with a SHA-1 for each."""
        return [RemoteFile(LIST, "")]

    def files_to_download(self, settings: Known, read: Callable[[str], bytes]) -> list[RemoteFile]:  # noqa: ARG002
        """The bias-corrected scans, where T1 lies on the grid of FLAIR, and the masks."""
        return [remote for remote in dataverse_files(SERVER, read(LIST)) if WANTED.fullmatch(remote.path)]

    def find_scans(self, label: str, settings: Known) -> SourceContent:
        """Every subject has lesions; the site tells the scanner."""
        root, wanted = settings.folder, FILE[settings.modality]
        scans: dict[str, Scan] = {}
        problems = patients_only_problem(settings)
        counts = dict.fromkeys(RELEASED, 0)
        for part in RELEASED:
            if not (root / part).is_dir():
                problems.append(f"the folder {part} is missing")
            masks, others = (root / part).glob("**/wmh.nii.gz"), (root / part).glob("**/pre")
            for folder in sorted({path.parent for path in (*masks, *others)}):
                place = folder.relative_to(root)
                counts[part] += 1
                site = _site(place)
                if site not in SITES:
                    problems.append(f"{place} is of no known site")
                subject = f"sub-{''.join(c for c in site if c.isalnum())}{folder.name}"
                if subject in scans:
                    problems.append(f"{place} occurs twice")
                image, mask = folder / "pre" / wanted, folder / "wmh.nii.gz"
                missing = [path for path in (image, mask) if not path.is_file()]
                problems += [f"{path.relative_to(root)} is missing" for path in missing]
                scan = Scan(
                    subject, subject, label, str(image), str(mask), site=site, lesion_type=lesion_types_of("wmh", "1")
                )
                scans[subject] = scan
        notes = [
            note
            for part, released in RELEASED.items()
            for note in count_note(counts[part], released, f"subjects in {part}")
        ]
        return SourceContent([scans[name] for name in sorted(scans)], problems, notes)

    def convert(self, scan: Scan, folder: Path) -> Scan:
        """Two masks in place of the labels: lesion, and what is to be ignored."""
        from brainuad.download.known.checks import require_labels
        from brainuad.formats import volume

        labels = volume.read(scan.mask, constant=True)
        require_labels(labels.data, {0, 1, 2}, scan.mask)
        mask, ignore = (folder / f"{scan.scan}_desc-{name}_mask.nii.gz" for name in ("lesion", "ignore"))
        volume.write(mask, labels.data == 1, labels.affine)
        count = int((labels.data == 2).sum())
        if count == 0:
            return changed(scan, mask=str(mask))
        volume.write(ignore, labels.data == 2, labels.affine)
        note = f"{count} voxels of other pathology are left out of the scores"
        return changed(scan, mask=str(mask), ignore=str(ignore), note=note)


def _site(place: Path) -> str:
    """Site and scanner of `<part>/<site>/[<scanner>/]<id>`; one scanner's folder is named `Philips_VU .PETMR_01.`."""
    scanner = re.sub(r"[ _]*\.PETMR.*", "", " ".join(place.parts[1:-1]))
    return scanner.strip()


SET = Wmh
