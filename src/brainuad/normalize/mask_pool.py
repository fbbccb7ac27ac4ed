"""The lesion masks to insert, and which of them are for validation and test scans.

Imported while the Snakefile is parsed, so it imports nothing heavy.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from brainuad.errors import InputError
from brainuad.formats.files import finished


class LesionMaskPool:
    """Lesion masks in MNI space. In the order of the hashes of their names, every third is for validation scans.

    Raises InputError for a folder without masks.
    """

    def __init__(self, folders: list[Path]):
        paths: list[Path] = []
        for folder in folders:
            there = finished(folder, "*.nii.gz")
            if not there:
                raise InputError("no lesion masks", file=folder, why="no *.nii.gz", do="correct masks in the study")
            paths += there
        paths.sort(key=lambda path: hashlib.sha256(path.name.encode()).hexdigest())
        test = [path for i, path in enumerate(paths) if i % 3 != 1]
        self.files = {"validation": paths[1::3], "test": test}
