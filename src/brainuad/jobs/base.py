"""The job: one run of a rule, with its files, its settings and what it does.

Each rule has a class in `<stage>/<rule>_job.py`. The plan builds the job; Snakemake passes its settings in `params`
and its files in `input` and `output`; `jobs.run` puts them together again and runs it. A job can be run without
Snakemake: `plan.job("train", model="dae", seed="0").run()`.

Job modules are imported while the Snakefile is parsed, so they import nothing heavy: `run` imports what computes.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar

from pydantic import ConfigDict

from brainuad.config.section import Section

NO_DOCSTRINGS = ConfigDict(use_attribute_docstrings=False)
"""No page shows the fields of jobs, and pydantic reads each source file again to find their docstrings."""


class Paths(Section):
    """Files and folders of a job by name: `Path` or `list[Path]`."""

    model_config = NO_DOCSTRINGS

    def named(self) -> dict[str, str | list[str]]:
        """The paths as Snakemake takes them."""
        values = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: [str(p) for p in v] if isinstance(v, list) else str(v) for name, v in values.items()}

    def all(self) -> list[Path]:
        """Every path."""
        return [Path(p) for value in self.named().values() for p in ([value] if isinstance(value, str) else value)]


class InputsByName(Paths):
    """Inputs whose names are known from the study alone, such as one per scan."""

    files: dict[str, str]

    def named(self) -> dict[str, str | list[str]]:
        """The paths as Snakemake takes them."""
        return dict(self.files)


class Job(Section, ABC):
    """Base class. Fields beside `inputs` and `outputs` are settings; a change of a setting reruns the job."""

    model_config = NO_DOCSTRINGS
    rule: ClassVar[str]
    """Name of the Snakemake rule."""
    resumes: ClassVar[bool] = False
    """Whether a job that was stopped goes on where it was when it starts again."""
    untracked: ClassVar[frozenset[str]] = frozenset()
    """Settings whose change reruns nothing: where the work is done, and paths that the inputs stand for."""

    inputs: Paths
    outputs: Paths
    tags: dict[str, str] = {}
    """Study and wildcards, for the run record. Untracked."""
    code: str = ""
    """Hash of the code that the job runs (`code_hash`). Tracked as a param of its own."""

    @abstractmethod
    def run(self) -> None:
        """Do the work: read the inputs, write the outputs. Raises BrainuadError for what a user can mend."""

    def describe(self) -> list[str]:
        """Sentences for a methods section that say what the job does, with citations as `[@key]`."""
        return []

    def code_roots(self) -> list[str]:
        """Modules that `run` imports by name, such as that of a model's family: they count in the code hash."""
        return []

    def tracked_json(self) -> str:
        """The settings whose change reruns the job, as sorted JSON."""
        left = {"inputs", "outputs", "tags", "code", *self.untracked}
        return json.dumps(self.model_dump(mode="json", exclude=left), sort_keys=True)

    def untracked_json(self, **more: Any) -> str:
        """The other settings; `more`: values that Snakemake decides, such as `threads`."""
        values = self.model_dump(mode="json", include={"tags", *self.untracked})
        return json.dumps(values | {name: value for name, value in more.items() if name in self.untracked})
