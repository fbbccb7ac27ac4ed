"""A folder in which the shrunken study is run, and dry runs of changed copies of it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from brainuad.formats import volume
from brainuad.images.template import mni152

REPOSITORY = Path(__file__).parents[2]
LONGEST_S = 900
"""A run that takes this long hangs, and fails."""
DRY_RUN = ("--dry-run", "--nolock", "--quiet", "rules")


@dataclass(frozen=True)
class Workspace:
    """A folder in which the shrunken study is run."""

    folder: Path

    def study(self, **changes: Any) -> dict[str, Any]:
        """The study's content with `a__b__c=value` laid on it; the value may be a function of the old one."""
        content = deepcopy(yaml.safe_load((REPOSITORY / "config/studies/test.yaml").read_text()))
        for path, value in changes.items():
            *parents, last = path.split("__")
            part = content
            for key in parents:
                part = part.setdefault(key, {}) if isinstance(part, dict) else part[int(key)]
            key = last if isinstance(part, dict) else int(last)
            part[key] = value(part[key]) if callable(value) else value
        return content

    def snakemake(
        self, study: dict[str, Any] | str, *arguments: str, name: str = "study"
    ) -> subprocess.CompletedProcess[str]:
        """Run Snakemake on a study, or on the text of its file, in this folder, as a user would."""
        return self._python(["-m", "snakemake", *self._arguments(study, name), *arguments])

    def would_run(self, study: dict[str, Any], name: str = "dry") -> dict[str, int]:
        """The rules that a dry run lists, with their numbers of jobs; empty if there is nothing to be done."""
        done = self.snakemake(study, *DRY_RUN, name=name)
        assert done.returncode == 0, done.stdout + done.stderr
        return jobs(done.stdout + done.stderr)

    def would_run_each(self, studies: list[dict[str, Any]]) -> list[dict[str, int]]:
        """`would_run` for many studies, two at once, in a fraction of the time."""
        commands = [[*self._arguments(study, f"dry-{n}"), *DRY_RUN] for n, study in enumerate(studies)]
        file = self.folder / "dry_runs.json"
        file.write_text(json.dumps(commands))
        done = self._python([str(Path(__file__).with_name("dry_runs.py")), str(file)])
        assert done.returncode == 0, done.stdout + done.stderr
        ended = json.loads(done.stdout)
        assert not any(code for code, _ in ended), next(output for code, output in ended if code)
        return [jobs(output) for _, output in ended]

    def _arguments(self, study: dict[str, Any] | str, name: str) -> list[str]:
        """Snakemake's arguments for a study, whose file is written."""
        file = self.folder / f"{name}.yaml"
        file.write_text(study if isinstance(study, str) else yaml.safe_dump(study, sort_keys=False))
        snakefile = ["--snakefile", str(REPOSITORY / "Snakefile"), "--directory", str(self.folder)]
        return [*snakefile, "--cores", "2", "--configfile", str(file)]

    def _python(self, arguments: list[str]) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "BRAINUAD_TEST_MASKS": str(self.folder / "masks")}
        command = [sys.executable, *arguments]
        return subprocess.run(
            command, capture_output=True, text=True, env=environment, cwd=REPOSITORY, timeout=LONGEST_S
        )

    @property
    def results(self) -> Path:
        return self.folder / "results"


def jobs(text: str) -> dict[str, int]:
    """The rules that the output of a run lists at its start, with their numbers of jobs."""
    if "Nothing to be done" in text:
        return {}
    table = text.split("Job stats:")[1].split("total")[0]
    return {rule: int(count) for rule, count in re.findall(r"^(\w+) +(\d+)$", table, re.M) if rule != "all"}


def new_workspace(folder: Path) -> Workspace:
    """A folder with a small bank of lesion masks in MNI space."""
    template = mni152(4.0)
    x, y, z = np.meshgrid(*(np.arange(n) for n in template.brain.shape), indexing="ij")
    (folder / "masks").mkdir(parents=True)
    for i in range(8):
        ball = (x - 15 - 2 * i) ** 2 + (y - 28) ** 2 + (z - 26) ** 2 < (2 + i % 3) ** 2
        volume.write(folder / f"masks/lesion-{i}.nii.gz", ball, template.affine)
    return Workspace(folder)
