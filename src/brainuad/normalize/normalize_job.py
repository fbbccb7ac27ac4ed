"""normalize: the array cache of a data set, from preprocessed scans or from healthy scans that are changed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import Field, TypeAdapter

from brainuad.config.datasets import AnyMade, Sign
from brainuad.config.recipe import Normalize
from brainuad.jobs.base import Job, Paths

MADE: TypeAdapter[AnyMade] = TypeAdapter(Annotated[AnyMade, Field(discriminator="source")])


class NormalizeInputs(Paths):
    table: Path
    done: list[Path]
    masks: list[Path]
    """Lesion masks that are inserted; none for a data set that holds scans of its own."""
    scaling: Path


class NormalizeOutputs(Paths):
    array_cache: Path


class NormalizeJob(Job):
    """Scales intensities and writes the array cache that models see."""

    rule = "normalize"
    untracked: ClassVar[frozenset[str]] = frozenset({"label", "mask_folders", "preprocessed"})
    inputs: NormalizeInputs
    outputs: NormalizeOutputs
    label: str
    recipe: Normalize
    made: dict[str, Any] | None
    """How scans are made of healthy ones, with the study's seed; None for a data set that holds scans of its own."""
    mask_folders: list[str]
    preprocessed: Path
    """Folder of the preprocessed scans that are read."""
    sequences: list[str] = []
    """Of each session; none where a scan is one sequence."""
    signs: dict[str, Sign] = {}
    """Of inserted lesions in each sequence."""

    def run(self) -> None:
        from brainuad.normalize.caching import normalize, normalize_made
        from brainuad.normalize.made import Making
        from brainuad.normalize.source import Source

        source = Source(self.inputs.table, self.preprocessed, self.sequences)
        if self.made is None:
            normalize(source, self.inputs.scaling, self.recipe, self.outputs.array_cache)
            return
        settings = {key: value for key, value in self.made.items() if key != "seed"}
        made = MADE.validate_python(settings | ({"masks": self.mask_folders} if self.mask_folders else {}))
        out = self.outputs.array_cache
        making = Making(self.label, made, self.made["seed"], self.signs)
        normalize_made(source, making, self.inputs.scaling, self.recipe, out)

    def describe(self) -> list[str]:
        from brainuad.normalize.in_words import made_scans, models_grid

        if self.made is None:
            return models_grid(self.recipe)
        given = {key: value for key, value in self.made.items() if key != "seed"}
        folders = {"masks": self.mask_folders} if self.mask_folders else {}
        return made_scans(self.label, MADE.validate_python(given | folders), self.made["seed"])


JOB = NormalizeJob
