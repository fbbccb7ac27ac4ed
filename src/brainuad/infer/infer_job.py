"""infer: anomaly maps of the validation and test scans of a data set."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

from brainuad.config.datasets import Sign
from brainuad.config.section import Section
from brainuad.jobs.base import Job, Paths


class InferInputs(Paths):
    weights: Path
    bundle: Path
    array_cache: Path
    members: list[Path] = []
    """Maps of the models that an ensemble combines."""


class InferOutputs(Paths):
    maps: Path


class InferJob(Job):
    """Maps the scans of a data set with a trained model."""

    rule = "infer"
    untracked: ClassVar[frozenset[str]] = frozenset({"accelerator", "scratch", "threads"})
    inputs: InferInputs
    outputs: InferOutputs
    family: str
    map: dict[str, Any]
    """The `map` section of the model."""
    lesion_sign: Sign | dict[str, Sign]
    """By sequence, for a model that sees several."""
    erode_voxels: int = 0
    """Of the brain's rim, not scored; set where maps are in units of their scan's scored brain."""
    threads: int
    accelerator: Literal["auto", "cpu", "gpu"]
    scratch: str | None

    def run(self) -> None:
        from brainuad.cluster.scratch import scratch_copies
        from brainuad.config.study import Compute
        from brainuad.infer.inference import MapMaking, infer

        with scratch_copies([self.inputs.array_cache], self.scratch) as (array_cache,):
            infer(
                bundle=self.inputs.bundle.parent,
                array_cache=array_cache,
                making=MapMaking(self.map, self.lesion_sign, self.erode_voxels, self.inputs.members),
                compute=Compute(threads=self.threads, accelerator=self.accelerator),
                out=self.outputs.maps,
                tags={"family": self.family, **self.tags},
            )

    def describe(self) -> list[str]:
        from brainuad.config.model import EACH, fusion_text, map_text, settings_class

        section = settings_class(self.family).model_fields["map"].annotation
        assert isinstance(section, type)
        assert issubclass(section, Section)
        settings = section.model_validate(self.map)
        if isinstance(self.lesion_sign, str):
            what, *more = map_text(settings, self.lesion_sign)
            return [f"The map {what}", *more]
        signs = set(self.lesion_sign.values())
        what, *more = map_text(settings, signs.pop() if len(signs) == 1 else EACH)
        return [f"The map {what}", *more, *fusion_text(settings, self.lesion_sign)]

    def code_roots(self) -> list[str]:
        return [f"brainuad.methods.{self.family}"]


JOB = InferJob
