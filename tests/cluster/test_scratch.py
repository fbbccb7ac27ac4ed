"""Stores on a node's own disk."""

from __future__ import annotations

import os
import shutil
import signal
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from brainuad.cluster.scratch import scratch_copies
from brainuad.config.load import build_study
from brainuad.errors import InputError

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def array_caches(tmp_path):
    made = [tmp_path / "shared" / name for name in ("a", "b")]
    for array_cache in made:
        array_cache.mkdir(parents=True)
        (array_cache / "images.npy").write_bytes(array_cache.name.encode() * 1000)
    return made


def test_stores_are_read_from_copies_that_do_not_stay(array_caches, tmp_path, monkeypatch):
    monkeypatch.setenv("NODE_DISK", str(tmp_path / "node"))
    with scratch_copies(array_caches, "${NODE_DISK}/mine") as found:
        assert [path.name for path in found] == ["a", "b"]
        assert all(path.is_relative_to(tmp_path / "node/mine") for path in found)
        assert (found[1] / "images.npy").read_bytes() == b"b" * 1000
    assert list((tmp_path / "node/mine").iterdir()) == []
    assert (array_caches[0] / "images.npy").exists()


def test_they_do_not_stay_after_a_failure_either(array_caches, tmp_path):
    with pytest.raises(ValueError, match="broken"), scratch_copies(array_caches, str(tmp_path)):
        raise ValueError("broken")
    assert [path.name for path in tmp_path.iterdir()] == ["shared"]


def test_an_error_names_the_array_cache_and_not_the_copy_that_is_gone(array_caches, tmp_path):
    with pytest.raises(InputError) as caught, scratch_copies(array_caches, str(tmp_path / "scratch")) as copies:
        file = copies[1] / "images.npy"
        raise InputError("images.npy was altered", file=file, why="a bit", do=f"delete {copies[1]} and run again")
    assert caught.value.file == array_caches[1] / "images.npy"
    assert caught.value.do == f"delete {array_caches[1]} and run again"
    assert f"its copy on {tmp_path / 'scratch'}" in caught.value.why


def test_a_copy_that_a_killed_job_left_goes_with_the_next_one(array_caches, tmp_path):
    with scratch_copies(array_caches, str(tmp_path / "node")) as found:
        living = found[0].parents[1]
        killed = living.with_name(living.name.replace(f"-{os.getpid()}t", "-4194305t"))
        others = living.with_name("brainuad-0123abcd-77t5-abcdefgh")
        for folder in (killed, others):
            folder.mkdir()
        with scratch_copies(array_caches, str(tmp_path / "node")):
            assert not killed.exists()
            assert living.exists()
            assert others.exists(), "another machine, on a disk that both see"


def test_nor_after_a_signal(array_caches, tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as ended, scratch_copies(array_caches, str(tmp_path)):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)
    assert ended.value.code == 143
    assert signal.getsignal(signal.SIGTERM) == before
    assert [path.name for path in tmp_path.iterdir()] == ["shared"]


def test_without_scratch_they_are_read_where_they_lie(array_caches, caplog):
    with scratch_copies(array_caches, None) as found:
        assert found == array_caches
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("scratch", "said"),
    [("${NO_SUCH_PLACE}/x", "${NO_SUCH_PLACE}/x is not set"), ("/proc/none", "/proc/none cannot be written")],
)
def test_where_nothing_can_be_copied_a_sentence_says_so(array_caches, caplog, scratch, said):
    with scratch_copies(array_caches, scratch) as found:
        assert found == array_caches
    assert said in caplog.text


def test_too_little_room_and_a_copy_that_breaks(array_caches, tmp_path, caplog, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
        with scratch_copies(array_caches, str(tmp_path / "node")) as found:
            assert found == array_caches
    assert "GB free" in caplog.text

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copytree", full)
    with scratch_copies(array_caches, str(tmp_path / "node")) as found:
        assert found == array_caches
    assert "No space left on device" in caplog.text
    assert list((tmp_path / "node").iterdir()) == []


def test_the_node_and_not_the_login_node_says_where_it_is(tmp_path, monkeypatch):
    monkeypatch.delenv("NODE_DISK", raising=False)
    raw = yaml.safe_load((REPOSITORY / "config.yaml").read_text(encoding="utf-8"))
    study = build_study({**raw, "compute": {"scratch": "${NODE_DISK}/mine"}}, REPOSITORY / "config.yaml")
    assert study.compute.scratch == "${NODE_DISK}/mine"
