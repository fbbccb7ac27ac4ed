"""Copies of stores on a node's own disk, from which slices are read faster than over a network."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

SPARE = 1.05
"""Room that must be free, as a share of what is copied."""


@contextmanager
def nearby(array_caches: Sequence[Path], scratch: str | None) -> Iterator[list[Path]]:
    """Copies of stores in a fresh folder below `scratch`, taken away at the end, also where SIGTERM is that end.

    The stores themselves if `scratch` is none, or, after a sentence on stderr, where they cannot be copied.
    `${NAME}` in `scratch` is replaced by the environment variable, as it stands on the node.
    """
    folder = _folder(scratch) if scratch else None
    if folder is None:
        yield list(array_caches)
        return
    with _ended_by_sigterm():
        try:
            yield _copied(array_caches, folder)
        finally:
            _remove(folder)


def _folder(scratch: str) -> Path | None:
    """A fresh folder; none if there can be none."""
    place = os.path.expandvars(scratch)
    if "$" in place:
        _say(f"{scratch} is not set on this node")
        return None
    try:
        Path(place).mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix="brainuad-", dir=place))
    except OSError as error:
        _say(f"{place} cannot be written ({error.strerror})")
        return None


def _copied(array_caches: Sequence[Path], folder: Path) -> list[Path]:
    needed = sum(path.stat().st_size for array_cache in array_caches for path in array_cache.iterdir())
    free = shutil.disk_usage(folder).free
    if free < SPARE * needed:
        _say(f"{folder.parent} has {free / 1e9:.1f} GB free, and the data takes {needed / 1e9:.1f} GB")
        return list(array_caches)
    try:
        return [
            Path(shutil.copytree(array_cache, folder / str(number) / array_cache.name))
            for number, array_cache in enumerate(array_caches)
        ]
    except OSError as error:
        _remove(folder)
        why = error.args[0][0][-1] if isinstance(error, shutil.Error) else error.strerror
        _say(f"copying to {folder.parent} failed ({why})")
        return list(array_caches)


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """SIGTERM, which a cancelled job gets, ends the block as an error does, so that it cleans up."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, _: Any) -> NoReturn:
        signal.signal(number, signal.SIG_IGN)  # not once more while the block cleans up
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _say(why: str) -> None:
    sys.stderr.write(f"compute.scratch is not used, data is read from where it lies: {why}\n")
