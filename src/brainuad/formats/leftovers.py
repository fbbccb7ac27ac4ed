"""Temporary files and folders, and those that killed jobs left.

Their names say for what they are made, and on which machine and by which process: what a living process of any study
writes is never removed. What was made on another machine, or by an older version, is removed when nothing in it has
changed for a day.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

UNFINISHED, SCRATCH = ".part-", "brainuad-"
"""How the names begin: of what becomes an output, and of folders on a node's own disk."""
OLD_SECONDS = 86_400
"""Since the last change in what cannot be asked whether its process lives."""
_MADE_BY_US = re.compile(
    rf"(?:{re.escape(UNFINISHED)}(?P<output>.+)-|{SCRATCH})(?P<machine>[0-9a-f]{{8}})-(?P<process>\d+)"
    r"t(?P<start>\d+)-\w{8}(?:\..*)?"
)
_MADE_BY_OLDER_VERSIONS = re.compile(r"\.(?:part|values)-(?:(?P<output>.+)-\w{8}|\w{8}(?:\.[^-]*)?)")


def prefix(output: Path) -> str:
    """How the name of a temporary file or folder begins that is to become `output`."""
    return f"{UNFINISHED}{_short(output)}-{_owner()}-"


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder on the machine's own disk that goes at the end of the block; those of killed processes go too."""
    folder = make_temporary_folder(Path(tempfile.gettempdir()))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def make_temporary_folder(parent: Path) -> Path:
    """A new folder in `parent`; those that killed processes of this user and machine left there are removed."""
    for path in _made_by_us(parent):
        with suppress(OSError):
            own = path.lstat().st_uid == os.getuid()
            if own and path.name.startswith(SCRATCH) and _is_of_this_machine(path) and not _lives(path):
                _remove(path)
    return Path(tempfile.mkdtemp(dir=parent, prefix=f"{SCRATCH}{_owner()}-"))


def remove_leftovers(output: Path, of_this_job: bool = False) -> None:
    """Remove what killed jobs left beside `output`.

    `of_this_job`: no other job writes `output`, so that what was to become it is left over wherever it was made.
    """
    for path in unfinished(output.parent):
        same = of_this_job and _match(path)["output"] in (output.name, _short(output)) and not _lives(path)
        if same or is_abandoned(path):
            _remove(path)


def unfinished(folder: Path) -> list[Path]:
    """What lies in `folder` to become an output, whether its process lives or not."""
    return [path for path in _made_by_us(folder) if path.name.startswith(".")]


def is_abandoned(path: Path) -> bool:
    """Whether the process that wrote an unfinished file or folder is gone."""
    return not _lives(path) if _is_of_this_machine(path) else time.time() - _last_change(path) > OLD_SECONDS


def _made_by_us(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if _match(path))
    except OSError:
        return []


def _match(path: Path) -> dict[str, str]:
    """What the name of a temporary file or folder says; empty for other names."""
    found = _MADE_BY_US.fullmatch(path.name) or _MADE_BY_OLDER_VERSIONS.fullmatch(path.name)
    return {"machine": "", "process": "", "start": "", **found.groupdict("")} if found else {}


def _is_of_this_machine(path: Path) -> bool:
    return _match(path)["machine"] == _machine()


def _lives(path: Path) -> bool:
    """Whether it is of this machine and its process runs."""
    if not _is_of_this_machine(path):
        return False
    about = _match(path)
    try:
        os.kill(int(about["process"]), 0)
    except PermissionError:
        pass
    except (OSError, OverflowError):
        return False
    return _start(about["process"]) == about["start"]


def _last_change(path: Path) -> float:
    """Of a file, or of anything in a folder, in seconds since 1970."""
    inside = [Path(place) / name for place, folders, files in os.walk(path) for name in (*folders, *files)]
    times = []
    for each in (path, *inside):
        with suppress(OSError):
            times.append(each.lstat().st_mtime)
    return max(times, default=time.time())


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def _short(output: Path) -> str:
    """Its name, or the end of it: some file systems allow 143 characters."""
    return output.name[-60:]


def _owner() -> str:
    return f"{_machine()}-{os.getpid()}t{_start(str(os.getpid()))}"


def _start(process: str) -> str:
    """When a process started, in ticks: numbers of processes are given anew. 0 where the system has no `/proc`."""
    try:
        about = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "0"
    return about.rpartition(")")[2].split()[19]


@cache
def _machine() -> str:
    """Of the host name, and of the space in which processes are numbered: containers of one name have their own."""
    try:
        numbering = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        numbering = ""
    return hashlib.sha256(f"{socket.gethostname()} {numbering}".encode()).hexdigest()[:8]
