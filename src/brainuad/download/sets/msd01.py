"""Medical Segmentation Decathlon, task 1: gliomas of BraTS 2016 and 2017, stripped, under other names."""

from __future__ import annotations

import json
import re
from pathlib import Path

from brainuad.config.datasets import Known
from brainuad.download.known.find_files import count_note, patients_only_problem
from brainuad.download.known.known_set import About, KnownSet
from brainuad.download.known.lesion_types import lesion_types_of
from brainuad.download.sources.content import SourceContent
from brainuad.download.transfer.remote import RemoteFile
from brainuad.formats.scans import Scan, changed

CHANNEL = {"FLAIR": "flair", "T1w": "t1w", "T1ce": "t1gd", "T2w": "t2w"}
"""Names of the channels in dataset.json, in lower case: releases differ in theirs."""
NAME = re.compile(r"BRATS_(\d{3})\.nii\.gz")
RELEASED = 484
"""Source: numTraining of dataset.json."""


class Msd01(KnownSet):
    """Four channels in one 4D file; labels 1 to 3 are the parts of a tumour, here one lesion."""

    about = About(
        title="Medical Segmentation Decathlon, Task01_BrainTumour",
        licence="CC BY-SA 4.0",
        access="open",
        page="http://medicaldecathlon.com",
        how_to_get="Download Task01_BrainTumour.tar and unpack it.",
        layout="""\
Task01_BrainTumour/dataset.json                  (names the channels)
Task01_BrainTumour/imagesTr/BRATS_001.nii.gz     (240 x 240 x 155 x 4)
Task01_BrainTumour/labelsTr/BRATS_001.nii.gz     (0 to 3)""",
        modalities=("FLAIR", "T1w", "T1ce", "T2w"),
        deviations="Its cases are BraTS 2016 and 2017 under other names: never in one study with a BraTS set. The 266 "
        "images of imagesTs have no labels and are left out.",
    )
    converts = True

    def remotes(self, settings: Known) -> list[RemoteFile]:  # noqa: ARG002
        """The archive; address and checksum from MONAI's DecathlonDataset, after registry.opendata.aws/msd."""
        url = "https://msd-for-monai.s3-us-west-2.amazonaws.com/Task01_BrainTumour.tar"
        return [RemoteFile(url, "Task01_BrainTumour.tar", "md5:240a19d752f0d9e9101544901065d872")]

    def find_scans(self, label: str, settings: Known) -> SourceContent:
        """Every case has a tumour."""
        inner = settings.folder / "Task01_BrainTumour"
        root = inner if inner.is_dir() else settings.folder
        problems = patients_only_problem(settings)
        channel = _channel(root / "dataset.json", CHANNEL[settings.modality])
        if channel is None:
            problems.append(f"dataset.json does not name the channel of {settings.modality}")
        images, labels = (_files(root / name, problems) for name in ("imagesTr", "labelsTr"))
        problems += [f"labelsTr/{name} is missing" for name in sorted(images.keys() - labels.keys())]
        problems += [f"imagesTr/{name} is missing" for name in sorted(labels.keys() - images.keys())]
        scans = []
        for name in sorted(images.keys() & labels.keys()):
            subject = f"sub-BRATS{images[name]}"
            image, mask = f"{root / 'imagesTr' / name}#{channel}", str(root / "labelsTr" / name)
            scans.append(
                Scan(subject, subject, label, image=image, mask=mask, lesion_type=lesion_types_of("msd01", "1"))
            )
        return SourceContent(scans, problems, count_note(len(images), RELEASED, "cases"))

    def convert(self, scan: Scan, folder: Path) -> Scan:
        """The channel that `<file>#<channel>` names, and any label above 0."""
        from brainuad.download.known.checks import require_labels
        from brainuad.download.known.images import write_channel
        from brainuad.formats import volume

        path, _, channel = scan.image.rpartition("#")
        labels = volume.read(scan.mask, constant=True)
        image, mask = folder / f"{scan.scan}.nii.gz", folder / f"{scan.scan}_desc-lesion_mask.nii.gz"
        write_channel(path, int(channel), len(CHANNEL), image)
        volume.write(mask, require_labels(labels.data, {0, 1, 2, 3}, scan.mask), labels.affine)
        return changed(scan, image=str(image), mask=str(mask))


def _channel(path: Path, wanted: str) -> int | None:
    try:
        names = json.loads(path.read_text(encoding="utf-8"))["modality"]
        found = {str(name).lower(): int(index) for index, name in names.items()}
    except (OSError, ValueError, KeyError, AttributeError):
        return None
    return found.get(wanted)


def _files(folder: Path, problems: list[str]) -> dict[str, str]:
    """Number of each case by file name; the archive also holds `._BRATS_*` files, which are no images."""
    if not folder.is_dir():
        problems.append(f"the folder {folder.name} is missing")
        return {}
    found = {}
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if parts := NAME.fullmatch(path.name):
            found[path.name] = parts[1]
        else:
            problems.append(f"{folder.name}/{path.name} is no file of the data set")
    return found


SET = Msd01
