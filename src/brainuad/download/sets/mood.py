"""MOOD: healthy brains of the Medical Out-of-Distribution Analysis Challenge, and four toy cases with anomalies."""

from __future__ import annotations

import re
from pathlib import Path

from brainuad.config.datasets import Known
from brainuad.download.known.find_files import count_note
from brainuad.download.known.known_set import About, KnownSet
from brainuad.download.known.lesion_types import lesion_types_of
from brainuad.download.sources.content import SourceContent
from brainuad.formats.scans import Scan

SHAPE = (256, 256, 256)
RELEASED, RELEASED_TOYS = 800, 4
"""Source: neuro-ml/amid, amid/mood.py."""
TRAINING, TOY = re.compile(r"(\d+)\.nii\.gz"), re.compile(r"toy_(\d+)\.nii\.gz")


class Mood(KnownSet):
    """`healthy: true` gives the training scans, `healthy: false` the toy cases: they are never mixed."""

    about = About(
        title="MOOD, brain part",
        licence="terms of the challenge, no redistribution",
        access="form",
        page="https://www.synapse.org/#!Synapse:syn21343101/wiki/599515",
        how_to_get="Register at Synapse, join the MOOD challenge, and download brain_train.zip and brain_toy.zip.",
        layout="""brain/brain_train/00000.nii.gz          (brain/ may be left out)
brain/toy/toy_0.nii.gz
brain/toy_label/pixel/toy_0.nii.gz
brain/toy_label/sample/toy_0.nii.gz.txt""",
        modalities=("T1w",),
        deviations="Toy cases whose sample label is 0 are neither patients nor training scans, and are left out.",
    )
    converts = True

    def find_scans(self, label: str, settings: Known) -> SourceContent:
        """Scans of one folder, each a participant of its own."""
        brain = settings.folder / "brain"
        root = brain if brain.is_dir() else settings.folder
        return self._healthy(label, root) if settings.healthy else self._toys(label, root)

    def convert(self, scan: Scan, folder: Path) -> Scan:  # noqa: ARG002
        """The files as they are; raises InputError unless they have 256 voxels on each axis."""
        from brainuad.download.known.checks import require_shape

        for path in scan.files().values():
            require_shape(path, SHAPE)
        return scan

    def _healthy(self, label: str, root: Path) -> SourceContent:
        scans, problems = [], []
        for path in sorted((root / "brain_train").glob("*.nii*")):
            if parts := TRAINING.fullmatch(path.name):
                subject = f"sub-{parts[1]}"
                scans.append(Scan(subject, subject, label, image=str(path)))
            else:
                problems.append(f"{path.name} is no training scan of MOOD")
        if not scans:
            problems.append("brain_train holds no scan")
        return SourceContent(scans, problems, count_note(len(scans), RELEASED, "training scans"))

    def _toys(self, label: str, root: Path) -> SourceContent:
        scans, problems, left = [], [], 0
        paths = sorted((root / "toy").glob("*.nii*"))
        for path in paths:
            parts = TOY.fullmatch(path.name)
            said, mask = root / f"toy_label/sample/{path.name}.txt", root / "toy_label/pixel" / path.name
            if parts is None:
                problems.append(f"{path.name} is no toy case of MOOD")
            elif not said.is_file():
                problems.append(f"{path.name} has no toy_label/sample/{said.name}")
            elif said.read_text(encoding="utf-8").strip().rstrip("0").rstrip(".") == "":
                left += 1
            elif not mask.is_file():
                problems.append(f"{path.name} has no toy_label/pixel/{mask.name}")
            else:
                subject = f"sub-toy{parts[1]}"
                lesion_type = lesion_types_of("mood", [1])
                scans.append(Scan(subject, subject, label, image=str(path), mask=str(mask), lesion_type=lesion_type))
        if not paths:
            problems.append("toy holds no scan")
        notes = count_note(len(paths), RELEASED_TOYS, "toy cases")
        return SourceContent(
            scans, problems, notes + ([f"toy cases without anomaly, left out: {left}"] if left else [])
        )


SET = Mood
