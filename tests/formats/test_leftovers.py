"""What killed jobs leave goes, what living ones write stays, and neither is read."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from brainuad.formats import files, leftovers
from brainuad.formats.leftovers import make_temporary_folder, remove_leftovers

KILLED = """
import os, signal, sys
from pathlib import Path
from brainuad.formats.files import atomic, atomic_folder
from brainuad.formats.leftovers import make_temporary_folder
out = Path(sys.argv[1])
with atomic_folder(out / "maps") as folder, atomic(out / "table.tsv") as part:
    (folder / "run.json").write_text("{}")
    make_temporary_folder(out)
    part.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """A folder in which a process was killed while it wrote a folder, a file, and a temporary folder."""
    out = tmp_path_factory.mktemp("killed")
    done = subprocess.run([sys.executable, "-c", KILLED, out], check=False)
    assert done.returncode == -signal.SIGKILL
    return out


@pytest.fixture
def left(killed, tmp_path):
    shutil.copytree(killed, tmp_path, dirs_exist_ok=True)
    return tmp_path


def of_machine(path: Path, machine: str) -> Path:
    """The same, made on another machine or, without one, by an older version."""
    own = f"-{leftovers._machine()}-{path.name.split('-')[-2]}"
    return path.rename(path.with_name(path.name.replace(own, f"-{machine}-7t5" if machine else "")))


def test_unfinished_work_is_not_read(left):
    assert len(list(left.iterdir())) == 3
    assert files.finished(left, "**/run.json") == []
    (left / "maps").mkdir()
    (left / "maps/run.json").write_text("{}")
    assert files.finished(left, "**/run.json") == [left / "maps/run.json"]


def test_the_next_start_removes_what_a_killed_process_left(left):
    remove_leftovers(left / "other.tsv")
    (rest,) = left.iterdir()
    assert rest.name.startswith("brainuad-")
    made = make_temporary_folder(left)
    assert list(left.iterdir()) == [made]


def test_what_a_living_process_writes_stays(tmp_path):
    with files.atomic_folder(tmp_path / "maps") as folder, files.atomic(tmp_path / "maps.tsv") as part:
        for output in (tmp_path / "maps", tmp_path / "maps.tsv"):
            remove_leftovers(output, of_this_job=True)
        assert folder.exists()
        assert part.exists()
        made = make_temporary_folder(tmp_path)
        assert make_temporary_folder(tmp_path) != made
        assert made.exists()


@pytest.mark.parametrize("machine", ["0123abcd", ""], ids=["another machine", "older version"])
def test_work_of_a_process_that_cannot_be_asked_stays_for_a_day(left, machine):
    (path,) = left.glob(".part-maps-*")
    path, inner = of_machine(path, machine), "run.json"
    remove_leftovers(left / "other")
    assert path.exists()
    day_ago = time.time() - 1.1 * leftovers.OLD_SECONDS
    os.utime(path, (day_ago, day_ago))
    remove_leftovers(left / "other")
    assert path.exists(), "something in it is younger"
    os.utime(path / inner, (day_ago, day_ago))
    remove_leftovers(left / "other")
    assert not path.exists()


@pytest.mark.parametrize("machine", ["0123abcd", ""], ids=["another machine", "older version"])
def test_the_one_job_of_an_output_removes_what_was_to_become_it(left, machine):
    (path,) = left.glob(".part-maps-*")
    path = of_machine(path, machine)
    for other in ("map", "maps-a", "part-maps"):
        remove_leftovers(left / other, of_this_job=True)
    assert path.exists()
    remove_leftovers(left / "maps", of_this_job=True)
    assert not path.exists()


def test_long_names_fit_every_file_system(tmp_path):
    output = tmp_path / ("sub-" + "a" * 120 + "_T1w.nii.gz")
    with files.atomic(output) as part:
        assert len(part.name) < 143
        dead = part.with_name(part.name.replace(f"-{os.getpid()}t", f"-{os.getpid()}t1"))
        dead.touch()  # of a process that had this number before
        remove_leftovers(output, of_this_job=True)
        assert part.exists()
        assert not dead.exists()


def test_names_that_are_not_ours_stay_and_links_are_not_followed(tmp_path):
    keep = tmp_path / "keep"
    keep.mkdir()
    (keep / "scan.nii.gz").write_text("x")
    names = [".part-", ".part-notes.txt", ".partition-abcdefgh", "brainuad-notes", ".snakemake_timestamp", "values"]
    for name in names:
        (tmp_path / name).write_text("x")
    link = tmp_path / f".part-x-{leftovers._machine()}-4194305t5-abcdefgh"
    link.symlink_to(keep)
    remove_leftovers(tmp_path / "x", of_this_job=True)
    make_temporary_folder(tmp_path)
    assert not link.is_symlink()
    assert (keep / "scan.nii.gz").exists()
    assert all((tmp_path / name).exists() for name in names)
