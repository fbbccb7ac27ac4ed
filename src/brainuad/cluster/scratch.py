"""Copies of array caches on a node's own disk, which is faster to read than a network file system."""

from __future__ import annotations

import os
import shutil
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from logging import getLogger
from pathlib import Path
from typing import Any, NoReturn

from brainuad.errors import BrainuadError
from brainuad.formats import leftovers

FREE_SPACE_FACTOR = 1.05
"""Space that must be free, relative to the size of the copies."""
logger = getLogger(__name__)


@contextmanager
def scratch_copies(array_caches: Sequence[Path], scratch: str | None) -> Iterator[list[Path]]:
    """Copy array caches to a new folder below `scratch`; remove it at the end of the block, also after SIGTERM.

    Gives the array caches themselves if `scratch` is None, or, with a warning, if they cannot be copied. `~` and
    `${NAME}` in `scratch` are replaced on the node.
    """
    folder = _make_folder(scratch) if scratch else None
    if folder is None:
        yield list(array_caches)
        return
    with _sigterm_raises_system_exit():
        try:
            copies = _copy(array_caches, folder)
            try:
                yield copies
            except BrainuadError as error:
                _name_originals(error, array_caches, copies)
                raise
        finally:
            _remove(folder)


def _make_folder(scratch: str) -> Path | None:
    """A new folder; None if it cannot be made."""
    parent = os.path.expanduser(os.path.expandvars(scratch))  # noqa: PTH111 - Path's raises for an unknown user
    if "$" in parent:
        _warn(f"{scratch} is not set on this node")
        return None
    try:
        Path(parent).mkdir(parents=True, exist_ok=True)
        return leftovers.make_temporary_folder(Path(parent))
    except OSError as error:
        _warn(f"{parent} cannot be written ({error.strerror})")
        return None


def _copy(array_caches: Sequence[Path], folder: Path) -> list[Path]:
    size = sum(path.stat().st_size for array_cache in array_caches for path in array_cache.iterdir())
    free = shutil.disk_usage(folder).free
    if free < FREE_SPACE_FACTOR * size:
        _warn(f"{folder.parent} has {free / 1e9:.1f} GB free, and the data takes {size / 1e9:.1f} GB")
        return list(array_caches)
    try:
        return [
            Path(shutil.copytree(array_cache, folder / str(number) / array_cache.name))
            for number, array_cache in enumerate(array_caches)
        ]
    except OSError as error:
        _remove(folder)
        why = error.args[0][0][-1] if isinstance(error, shutil.Error) else error.strerror
        _warn(f"copying to {folder.parent} failed ({why})")
        return list(array_caches)


def _name_originals(error: BrainuadError, array_caches: Sequence[Path], copies: Sequence[Path]) -> None:
    """Let an error name what stays, and not a copy that is gone when it is read."""
    for original, copy in zip(array_caches, copies, strict=True):
        if error.file is not None and copy in (Path(error.file), *Path(error.file).parents) and copy != original:
            error.file = original / Path(error.file).relative_to(copy)
            error.why = f"{error.why or error.what} (in its copy on {copy.parents[2]}, which may be at fault)"
            error.do = error.do and error.do.replace(str(copy), str(original))


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _sigterm_raises_system_exit() -> Iterator[None]:
    """A cancelled job gets SIGTERM; as an exception it runs the cleanup of the block."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def exit_with_signal(number: int, _: Any) -> NoReturn:
        signal.signal(number, signal.SIG_IGN)  # not once more during the cleanup
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, exit_with_signal)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _warn(why: str) -> None:
    logger.warning("compute.scratch is not used, the data is read from the results folder: %s", why)
