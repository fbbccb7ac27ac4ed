"""native: maps and masks on the grid of each scan as it came."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from brainuad.jobs.base import Job, Paths


class NativeInputs(Paths):
    maps: Path
    masks: Path
    table: Path


class NativeOutputs(Paths):
    folder: Path


class NativeJob(Job):
    """Resamples maps and masks from the template's grid to the scans' own."""

    rule = "native"
    untracked: ClassVar[frozenset[str]] = frozenset({"preprocessed"})
    inputs: NativeInputs
    outputs: NativeOutputs
    preprocessed: Path
    """Folder of the data set's preprocessed scans."""

    def run(self) -> None:
        from brainuad.postprocess.native import native

        native(self.inputs.maps, self.inputs.masks, self.inputs.table, self.preprocessed, self.outputs.folder)


JOB = NativeJob
