"""Which lesion masks there are, and which of them serve validation and test. Light: the Snakefile reaches it."""

from __future__ import annotations

import hashlib
from pathlib import Path

from brainuad.errors import InputError


class LesionMaskPool:
    """Lesion masks in MNI space. Every third, in the order of their names' hashes, serves validation, the rest test."""

    def __init__(self, folders: list[Path]):
        found: list[Path] = []
        for folder in folders:
            there = sorted(folder.glob("*.nii.gz"))
            if not there:
                raise InputError("no lesion masks", file=folder, why="no *.nii.gz", do="correct masks in the study")
            found += there
        found.sort(key=lambda path: hashlib.sha256(path.name.encode()).hexdigest())
        test = [path for i, path in enumerate(found) if i % 3 != 1]
        self.files = {"validation": found[1::3], "test": test}
