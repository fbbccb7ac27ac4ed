"""A folder that Snakemake has locked: whose run holds it, and whether the lock may be removed."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from brainuad.cluster.run_lock import explain_lock, lock_error


@pytest.fixture
def process(tmp_path):
    """Write what Linux says of a process."""

    def make(pid: int, command: str, parent: int = 1, folder: Path = tmp_path) -> Path:
        at = tmp_path / "proc" / str(pid)
        at.mkdir(parents=True)
        (at / "cwd").symlink_to(folder)
        (at / "cmdline").write_bytes(command.replace(" ", "\0").encode())
        (at / "stat").write_text(f"{pid} (python (3)) S {parent} 0 0")
        return tmp_path / "proc"

    return make


def test_the_run_that_holds_the_lock_is_named(tmp_path, process):
    processes = process(41, "python -m snakemake --cores 2 --configfile other.yaml")
    process(42, "python -m snakemake train --mode subprocess", parent=41)
    text = str(lock_error(tmp_path, processes))
    assert "process 41: python -m snakemake --cores 2 --configfile other.yaml" in text
    assert "42" not in text.replace(str(tmp_path), "")
    assert "wait until it ends" in text
    assert "--unlock" not in text


def test_jobs_that_outlive_their_run_do_not_hold_the_lock(tmp_path, process):
    processes = process(51, "python -m snakemake --snakefile Snakefile --target-jobs train:model=sae --mode remote")
    process(52, "python -m snakemake --snakefile Snakefile --target-jobs train:model=sae --mode subprocess", parent=51)
    text = str(lock_error(tmp_path, processes))
    assert "locked by a run that was killed" in text
    assert "process 51" in text
    assert "process 52" not in text
    assert "snakemake --unlock" in text
    process(41, "python -m snakemake --profile slurm")
    text = str(lock_error(tmp_path, processes))
    assert "another run works" in text
    assert "process 51" not in text


@pytest.mark.parametrize("command", ["vim Snakefile", "tail -f x"])
def test_a_lock_of_a_killed_run_may_be_removed(tmp_path, process, command):
    processes = process(os.getpid(), "/bin/snakemake -c2", parent=7)
    process(7, "bash -c snakemake")
    process(8, command)
    process(9, "python -m snakemake", folder=tmp_path.parent)
    text = str(lock_error(tmp_path, processes))
    assert "was killed, or that runs on another machine" in text
    assert "snakemake --unlock" in text
    assert ".snakemake/locks" in text


def test_snakemake_says_it_in_our_words(tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    logger = logging.getLogger("a_logger_like_that_of_snakemake")
    explain_lock(logger)
    logger.error("LockException:\nError: Directory cannot be locked. Please make sure that 100 % of")
    logger.error("something else")
    assert "snakemake --unlock" in caplog.messages[0]
    assert caplog.messages[1] == "something else"
