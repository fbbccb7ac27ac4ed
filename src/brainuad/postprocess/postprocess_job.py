"""postprocess: thresholds from validation scans, and the predicted masks of a data set's test scans."""

from __future__ import annotations

from pathlib import Path

from brainuad.config.postprocessing import Postprocessing, Threshold
from brainuad.jobs.base import Job, Paths


class PostprocessInputs(Paths):
    maps: Path
    array_cache: Path
    validation_maps: list[Path]
    validation_array_caches: list[Path]


class PostprocessOutputs(Paths):
    masks: Path


class PostprocessJob(Job):
    """Turns anomaly maps into masks."""

    rule = "postprocess"
    inputs: PostprocessInputs
    outputs: PostprocessOutputs
    postprocessing: Postprocessing
    thresholds: list[Threshold]
    validation_healthy: list[bool]
    """Whether the subjects of each validation set are healthy."""

    def run(self) -> None:
        from brainuad.postprocess.job import postprocess

        validation = zip(self.inputs.validation_maps, self.inputs.validation_array_caches, strict=True)
        postprocess(
            maps=self.inputs.maps,
            array_cache=self.inputs.array_cache,
            validation=list(validation),
            healthy=self.validation_healthy,
            postprocessing=self.postprocessing,
            thresholds=self.thresholds,
            out=self.outputs.masks,
            tags=self.tags,
        )


JOB = PostprocessJob
