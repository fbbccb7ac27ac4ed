"""Code hashes are found again, and never after an edit."""

import subprocess
import sys
from pathlib import Path

import pytest

from brainuad.code_cache import CodeCache, cache_file
from brainuad.code_hash import PACKAGE, CodeHasher

ROOTS = ("brainuad.work:run", "brainuad.steps")


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "package"
    (folder / "templates").mkdir(parents=True)
    (folder / "work.py").write_text("def run():\n    return 1\n")
    (folder / "templates/page.html").write_text("<p>")
    CodeCache(folder).keep(ROOTS, "0123456789ab")
    return folder


def test_a_hash_is_found_in_the_next_start(package: Path) -> None:
    assert CodeCache(package).find(ROOTS) == "0123456789ab"
    assert CodeCache(package).find(ROOTS[:1]) is None


@pytest.mark.parametrize("edited", ["work.py", "templates/page.html", "new.py"])
def test_any_edit_makes_the_cache_worthless(package: Path, edited: str) -> None:
    with open(package / edited, "a") as file:
        file.write("# a comment\n")
    assert CodeCache(package).find(ROOTS) is None


def test_a_moved_definition_makes_the_cache_worthless(package: Path) -> None:
    (package / "work.py").rename(package / "other.py")
    assert CodeCache(package).find(ROOTS) is None


@pytest.mark.parametrize("content", ["", "[1]", '{"state": 3}', "\x00"])
def test_a_damaged_cache_is_an_empty_one(package: Path, content: str) -> None:
    cache_file(package).write_text(content)
    assert CodeCache(package).find(ROOTS) is None


def test_a_cache_that_cannot_be_written_stops_nothing(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(package / "work.py"))  # a file where the folder would be
    cache = CodeCache(package)
    cache.keep(ROOTS, "0123456789ab")
    assert cache.find(ROOTS) == "0123456789ab"


def test_a_start_with_the_cache_finds_what_one_without_it_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    root = "brainuad.images.smooth:smooth_inside"
    command = [sys.executable, "-c", f"from brainuad.code_hash import code_hash; print(code_hash({root!r}))"]
    first, second = (subprocess.run(command, capture_output=True, text=True, check=True).stdout for _ in range(2))
    assert CodeCache(PACKAGE).find((root,)) is not None
    assert first.strip() == second.strip() == CodeHasher(PACKAGE).code_hash(root)
