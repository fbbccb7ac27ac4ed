"""Files that stand in for data that was not fetched: broken links, pointers of git-annex (DataLad) and Git LFS."""

from __future__ import annotations

import errno
import stat
from pathlib import Path

POINTERS = {
    b"version https://git-lfs.github.com/spec/": "is a Git LFS pointer without its data: type `git lfs pull`",
    b"/annex/objects/": "is a git-annex pointer without its data: type `datalad get .`",
}
"""How text files begin that stand for a file, and what they are."""
LARGEST_POINTER = 32_768
"""In bytes: git-annex reads no pointer that is larger."""


def content_missing(path: str | Path) -> str | None:
    """Why the data of a file is not there, and how to get it; None if it is. To be read after the file's name.

    Data is missing behind a broken link and in the small text files by which git-annex (DataLad) and Git LFS stand in
    for a file that was not fetched.
    """
    path = Path(path)
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):  # opening a pipe would wait for ever
            return "is a folder" if stat.S_ISDIR(found.st_mode) else "is a pipe, socket or device"
        if found.st_size > LARGEST_POINTER:
            return None
        with path.open("rb") as file:
            start = file.read(64)
    except (FileNotFoundError, NotADirectoryError):
        if not path.is_symlink():
            return "is not there"
        if "/annex/objects/" in path.readlink().as_posix():
            return "is a link into git-annex without its data: type `datalad get .`"
        return "is a broken link"
    except OSError as error:
        return "is a link that leads back to itself" if error.errno == errno.ELOOP else None
    return next((what for begin, what in POINTERS.items() if start.startswith(begin)), None)
