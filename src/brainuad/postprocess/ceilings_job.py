"""ceilings: what postprocessing and resizing leave of a perfect map on a data set, and what they mark by themselves."""

from __future__ import annotations

from pathlib import Path

from brainuad.config.datasets import Sign
from brainuad.config.network import NetworkInput
from brainuad.config.postprocessing import Postprocessing
from brainuad.jobs.base import Job, Paths


class CeilingsInputs(Paths):
    array_cache: Path


class CeilingsOutputs(Paths):
    folder: Path


class CeilingsJob(Job):
    """Scores a perfect map and an identity network on a data set, for each postprocessing and input size."""

    rule = "ceilings"
    inputs: CeilingsInputs
    outputs: CeilingsOutputs
    postprocessing: dict[str, Postprocessing]
    networks: list[NetworkInput]
    """How scans come to the networks of the study, and residuals back."""
    lesion_sign: Sign
    erode_voxels: int
    """Of the rim that is not scored."""

    def run(self) -> None:
        from brainuad.postprocess.ceilings import write_ceilings

        write_ceilings(self)

    def describe(self) -> list[str]:
        return [
            "To tell what postprocessing and resizing cost, the lesion masks themselves were scored as anomaly maps "
            "(ceiling), and so was a network that returns its input (floor)."
        ]


JOB = CeilingsJob
