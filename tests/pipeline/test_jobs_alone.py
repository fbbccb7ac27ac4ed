"""`brainuad job` runs any one job of a study and leaves what Snakemake left, byte for byte."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import yaml
from workspace import REPOSITORY, Workspace

RUN = ["model=sae_test", "seed=1"]
TIMED = {"run.json", "metrics.csv", "system.jsonl", "index.html", "methods.md", "costs.tsv", ".snakemake_timestamp"}
"""Files that hold times, and what Snakemake writes itself."""
JOBS = {
    "split": (["dataset=healthy"], "normalize/healthy.tsv"),
    "scaling": ([], "normalize/scaling.safetensors"),
    "normalize": (["dataset=planted"], "normalize/planted"),
    "train": (RUN, "train/sae_test/seed-1"),
    "infer": ([*RUN, "dataset=patients"], "infer/sae_test/seed-1/patients"),
    "postprocess": (
        [*RUN, "dataset=patients", "postprocessing=cleaned"],
        "postprocess/sae_test/seed-1/patients/cleaned",
    ),
    "ceilings": (["dataset=planted"], "ceilings/planted"),
    "evaluate": ([*RUN, "dataset=patients"], "evaluate/sae_test/seed-1/patients"),
    "summarise": ([], "evaluate/metrics.tsv"),
    "report": ([], "failures.tsv"),
}


def brainuad(own: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "BRAINUAD_TEST_MASKS": str(own / "masks")}
    command = [sys.executable, "-m", "brainuad.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=own)


def content(path: Path) -> dict[str, bytes]:
    files = [path] if path.is_file() else [each for each in sorted(path.rglob("*")) if each.is_file()]
    return {str(each.relative_to(path.parent)): each.read_bytes() for each in files if each.name not in TIMED}


def test_every_job_runs_alone_and_leaves_the_same_files(finished: Workspace, tmp_path):
    own = shutil.copytree(finished.folder, tmp_path / "own", symlinks=True)
    shutil.copytree(REPOSITORY / "config", own / "config")
    (own / "study.yaml").write_text(yaml.safe_dump(finished.study(), sort_keys=False))
    for rule, (wildcards, place) in JOBS.items():
        path = own / "results/test" / place
        before = content(path)
        assert before
        for each in [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]:
            each.unlink()
        done = brainuad(own, "job", rule, *wildcards, "--study", "study.yaml")
        assert done.returncode == 0, done.stderr
        assert content(path) == before, rule


def test_what_is_wrong_with_the_words_is_said(finished: Workspace):
    (finished.folder / "alone.yaml").write_text(yaml.safe_dump(finished.study(), sort_keys=False))
    for words, said in (
        (["trian"], "did you mean train?"),
        (["train", "model=sae_test"], "train model=... seed=..."),
        (["train", "model=sea_test", "seed=0"], "did you mean sae_test?"),
    ):
        done = brainuad(finished.folder, "job", *words, "--study", "alone.yaml")
        assert done.returncode == 1
        assert said in done.stderr
