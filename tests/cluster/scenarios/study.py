"""The shrunken study of the cluster's tests, and a user who types `snakemake --profile slurm` on it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from onenode import say

REPOSITORY = Path(__file__).parents[3]
TABLES = ("metrics", "scans", "lesions", "curves", "comparisons")
NETWORK = "sae"
STEPS = 1200
TRAIN = "train_all"

STUDY: dict[str, Any] = {
    "study": "cluster",
    "title": "The shrunken study of the cluster's tests",
    "lesion_sign": "both",
    "datasets": {
        "healthy": {
            "source": "phantom",
            "subjects": 4,
            "healthy": True,
            "spacing": 4.0,
            "split": {"train": 0.5, "validation": 0.25, "test": 0.25},
        },
        "patients": {"source": "phantom", "subjects": 1, "healthy": False, "lesions": "tumour", "spacing": 4.0},
    },
    "recipe": {"use": "mri_2mm", "label": "mri_4mm", "set": {"preprocess": {"spacing": 4.0}}},
    "models": {
        "zscore_atlas": None,
        NETWORK: {
            "use": "baur_sae3_small",
            "set": {
                "network": {"size": 32, "channels": [4, 8], "latent": 8},
                "train": {"steps": STEPS, "validate_every": 50, "batch_size": 16},
            },
        },
    },
    "postprocessing": {"none": "none"},
    "report": {"examples": 1, "interactive": 0, "overlays": 1},
    "compute": {"threads": 1, "scans_per_job": 4},
}

# What the profile sets for hundreds of jobs is shortened for a few: seconds between polls, and patience with files.
QUICK = ("--brainuad-slurm-init-seconds-before-status-checks", "3", "--latency-wait", "10")
SITE = ("--default-resources", "slurm_partition=cpu", "gpu_partition=gpu", "mem_mb=1000", "runtime=10", "disk_mb=1")


@dataclass
class Workspace:
    """A folder from which the study is run. `started`: everything that was started in it, to be ended with it."""

    folder: Path
    content: dict[str, Any] = field(default_factory=lambda: STUDY)
    started: list[subprocess.Popen[str]] = field(default_factory=list)
    quick: tuple[str, ...] = QUICK

    @property
    def results(self) -> Path:
        return self.folder / self.content.get("results", "results")

    @property
    def study(self) -> Path:
        return self.results / self.content["study"]

    @property
    def training(self) -> Path:
        """The folder of the network's training."""
        return self.study / f"train/{NETWORK}/seed-0"

    def checkpoint(self) -> float:
        """When the checkpoint of a running training was written last; 0 before the first."""
        files = list((self.training / "resume").glob("*/*.ckpt"))
        return max((file.stat().st_mtime for file in files), default=0.0)

    def log(self) -> str:
        """What all its Snakemakes have said."""
        return "\n".join(map(self.said, self.started))

    def start(self, *arguments: str, slurm: bool = True) -> subprocess.Popen[str]:
        """Snakemake, under Slurm or here, as a user would type it; what it says goes to a file."""
        file = self.folder / f"{self.study.name}.yaml"
        file.write_text(yaml.safe_dump(self.content, sort_keys=False))
        where = [*SITE, "--profile", "slurm", *self.quick] if slurm else ["--cores", "2"]
        command = [sys.executable, "-m", "snakemake", "--directory", str(self.folder), *where]
        with self._log(len(self.started)).open("w") as out:
            run = subprocess.Popen(
                [*command, *arguments, "--configfile", str(file)],
                stdout=out,
                stderr=subprocess.STDOUT,
                text=True,
                cwd=REPOSITORY,
                env=dict(os.environ),
                start_new_session=True,
                # tests that run in the background ignore ctrl-c, and so would what they start
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            )
        self.started.append(run)
        return run

    def run(self, *arguments: str, slurm: bool = True, seconds: float = 1500) -> str:
        """Start Snakemake and wait until it is done; what it said."""
        return self.finish(self.start(*arguments, slurm=slurm), seconds)

    def said(self, run: subprocess.Popen[str]) -> str:
        """What one Snakemake has said."""
        return self._log(self.started.index(run)).read_text()

    def finish(self, run: subprocess.Popen[str] | None = None, seconds: float = 1500) -> str:
        """Wait until a Snakemake, the one started last, is done; what it said."""
        run = run or self.started[-1]
        try:
            status = run.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"Snakemake was not done after {seconds:.0f} s:\n{self.said(run)[-4000:]}") from None
        assert status == 0, self.said(run)[-6000:]
        return self.said(run)

    def complete(self) -> None:
        """What follows the training, here: it costs no job of Slurm."""
        say("what follows the training runs here")
        self.run(slurm=False)

    def kill(self) -> None:
        """Kill -9 the Snakemakes of this folder and what they started here; jobs of Slurm go on."""
        for run in self.started:
            if run.poll() is None:
                os.killpg(run.pid, signal.SIGKILL)
                run.wait()

    def copy(self, folder: Path) -> Workspace:
        """The same files elsewhere, times and Snakemake's memory of them included."""
        shutil.copytree(self.folder, folder, symlinks=True)
        for log in folder.glob("said-*.log"):
            log.unlink()
        return Workspace(folder, self.content)

    def _log(self, number: int) -> Path:
        return self.folder / f"said-{self.study.name}-{number:02d}.log"

    def forget_the_network(self) -> None:
        """Take back the network's training and all that follows from it; what others need for a run stays."""
        for stage in ("train", "infer", "postprocess", "evaluate"):
            shutil.rmtree(self.study / stage / NETWORK)
        for name in (*(f"evaluate/{table}.tsv" for table in TABLES), "track.json", "failures.tsv", "costs.tsv"):
            (self.study / name).unlink()
        shutil.rmtree(self.study / "report")


def assert_same(got: Workspace, reference: Workspace, tracked: Sequence[str] = ("cluster",)) -> None:
    """The tables and weights of the unbroken run, each training in MLflow once, and nothing half-written."""
    for name in TABLES:
        path = f"evaluate/{name}.tsv"
        assert (got.study / path).read_bytes() == (reference.study / path).read_bytes(), f"{name}.tsv differs"
    weights = f"train/{NETWORK}/seed-0/arrays.safetensors"
    assert (got.study / weights).read_bytes() == (reference.study / weights).read_bytes(), "other weights"
    assert runs_in_mlflow(got) == [(study, model, "0") for study in tracked for model in (NETWORK, "zscore_atlas")]
    left = [path for path in got.results.rglob("*") if ".part" in path.name or path.name == "resume"]
    assert not left, f"half-written: {left}"
    assert not list((got.folder / ".snakemake/incomplete").glob("*"))
    said = got.run("--dry-run", slurm=False)
    assert "Nothing to be done" in said, said[-2000:]
    say("the tables and weights are those of the unbroken run")


def whole(study: Workspace, reference: Workspace) -> None:
    """What follows the training is done here and comes out as in the unbroken run."""
    study.complete()
    assert_same(study, reference)


def runs_in_mlflow(workspace: Workspace) -> list[tuple[str, ...]]:
    """Study, model and seed of every run that is not deleted."""
    database = sqlite3.connect(f"file:{workspace.results}/mlflow/mlflow.db?mode=ro", uri=True)
    alive = [row[0] for row in database.execute("select run_uuid from runs where lifecycle_stage = 'active'")]
    tags = {(run, key): value for run, key, value in database.execute("select run_uuid, key, value from tags")}
    database.close()
    return sorted(tuple(tags[run, key] for key in ("study", "model", "seed")) for run in alive)


def resumed_at(workspace: Workspace) -> int:
    """The step at which the finished training was taken up last; 0 if it ran through."""
    return int(json.loads((workspace.training / "run.json").read_text())["facts"]["resumed_at_step"])
