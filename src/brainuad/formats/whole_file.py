"""The content of a file that may be compressed with gzip, whatever its name, read once and to its end.

A compressed file's checksum and length stand at its end: a reader that stops after the last voxel takes a flipped bit
for data. zlib compares both, as `gzip -t` does, and what the header of an image claims is compared with what is there.
"""

from __future__ import annotations

import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
from jaxtyping import UInt8

from brainuad.errors import InputError
from brainuad.formats.handling import Handling
from brainuad.formats.pointers import content_missing
from brainuad.units import format_size

GZIP = b"\x1f\x8b"
LARGEST_RATIO = 1032
"""Bytes that deflate can make of one."""
LARGEST_FILE = 2**33
"""In bytes. A larger file is not read, not even for a checksum."""
MOST_UNPACKED = 2**37
"""In bytes, of any file."""
PIECE = 2**20
COPY_AGAIN = "copy it again"
HANDLED = (
    Handling(
        "file",
        "gzip named `.nii`, plain data named `.nii.gz`, endings in capitals",
        "accepted",
        "the content decides how the file is read, not its name",
    ),
    Handling(
        "file",
        "a compressed file with a flipped bit, or cut",
        "refused",
        "every file is read to its end, and its checksum and length are compared; remedy: copy it again",
    ),
    Handling(
        "file",
        "an uncompressed file that is shorter than its header claims",
        "refused",
        "the reason names both sizes; remedy: copy it again",
    ),
    Handling(
        "file",
        "gzip in several members, with a name in it, or followed by zeros",
        "accepted",
        "it is read as `gzip` reads it",
    ),
    Handling("file", "gzip that is followed by something else", "converted", "what follows is left out, with a note"),
    Handling("file", "a file that was compressed twice", "refused", "remedy: unpack it once"),
    Handling(
        "file",
        "a broken link, a link to itself, a pointer of git-annex or Git LFS",
        "refused",
        "the reason says which of these it is, and names the command that fetches the data",
    ),
    Handling(
        "file",
        f"an empty file, a folder, a pipe, a file that may not be read, a file above {LARGEST_FILE // 2**30} GiB",
        "refused",
        "the reason says which of these it is; a pipe is not opened",
    ),
)


class Content:
    """What a file holds, unpacked. `size`: bytes of the file itself; `notes`: what was left out.

    `expected`: bytes of the content, by its header, for messages.
    """

    def __init__(self, path: Path, file: BinaryIO, size: int):
        self.path, self.size, self.notes = path, size, list[str]()
        self.compressed = file.read(2) == GZIP
        file.seek(0)
        self._pieces = self._unpacked(file) if self.compressed else iter(lambda: file.read(PIECE), b"")
        self._rest = b""
        self._taken = self.expected = 0

    @property
    def largest(self) -> int:
        """Bytes that the file can hold at most, unpacked."""
        return self.size * LARGEST_RATIO if self.compressed else self.size

    def peek(self, count: int) -> bytes:
        """The next bytes, `count` at most, which stay to be taken."""
        while len(self._rest) < count and (piece := self._next()):
            self._rest += piece
        return self._rest[:count]

    def take(self, count: int) -> UInt8[np.ndarray, " count"]:
        """The next `count` bytes. Raises InputError if the file ends before."""
        found = np.empty(count, np.uint8)  # touched only as far as bytes come
        done = 0
        while done < count:
            piece = self._rest or self._next()
            if not piece:
                raise broken(self.path, f"it ends after {self._taken:,} of {self.expected:,} bytes")
            use = piece[: count - done]
            found[done : done + len(use)] = np.frombuffer(use, np.uint8)
            self._rest, done, self._taken = piece[len(use) :], done + len(use), self._taken + len(use)
        return found

    def skip(self, count: int) -> None:
        """Leave out the next `count` bytes. Raises InputError if the file ends before."""
        while count:
            count -= len(self.take(min(count, PIECE)))

    def finish(self, most: int) -> int:
        """Read to the end and return how many bytes were left. Raises InputError if they are more than `most`."""
        left = 0
        while piece := self._rest or self._next():
            self._rest, left = b"", left + len(piece)
            if left > most:
                why = f"it goes on for more than {format_size(most)} after the last voxel of its header"
                raise InputError(
                    f"{self.path.name} does not fit its header", file=self.path, why=why, do="export it again"
                )
        return left

    def _next(self) -> bytes:
        try:
            return next(self._pieces, b"")
        except zlib.error as error:
            raise broken(self.path, f"its checksum or its compressed data are wrong: {error}") from None
        except OSError as error:
            raise broken(self.path, str(error.strerror or error)) from None

    def _unpacked(self, file: BinaryIO) -> Iterator[bytes]:
        """All members of a gzip file, in pieces of bounded size."""
        packed = file.read(PIECE // 8)
        while packed.startswith(GZIP):
            member = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
            while not member.eof:
                piece = member.decompress(packed, PIECE)
                if piece:
                    yield piece
                packed = member.unconsumed_tail
                if not packed and not member.eof and len(piece) < PIECE:
                    packed = file.read(PIECE // 8)
                    if not packed and not member.decompress(b"", 1):
                        raise broken(self.path, "its compressed data end too early")
            packed = member.unused_data
            while not (packed := packed.lstrip(b"\0")) and (more := file.read(PIECE // 8)):
                packed = more
            packed += file.read(1) if len(packed) == 1 else b""
        if packed:
            self.notes.append("bytes that follow the compressed data were left out")


@contextmanager
def opened(path: Path) -> Iterator[Content]:
    """Open a file. Raises InputError for one that is missing, empty, too large, or stands in for data elsewhere."""
    missing = content_missing(path)
    if missing == "is not there":
        raise InputError(f"{path.name} does not exist", file=path, do="correct the path or fetch the data set")
    if missing:
        what, _, command = missing.partition(": ")
        raise InputError(f"{path.name} {what}", file=path, do=command or "put the file in its place")
    try:
        size = path.stat().st_size
        if size > LARGEST_FILE:
            why = f"it has {format_size(size)}"
            raise InputError(f"{path.name} is too large for a scan", file=path, why=why, do="look at the file")
        if size == 0:
            raise broken(path, "it has 0 bytes")
        file = path.open("rb")
    except OSError as error:
        why = str(error.strerror or error)
        raise InputError(f"{path.name} cannot be opened", file=path, why=why, do="correct its permissions") from None
    with file:
        yield Content(path, file, size)


def require_whole(path: Path) -> None:
    """Read a file to its end. Raises InputError if its checksum or length are wrong."""
    with opened(path) as content:
        content.finish(MOST_UNPACKED)


def may_be_read(path: Path) -> bool:
    """Whether a file is an ordinary one and not larger than any scan. Raises OSError."""
    found = path.stat()
    return stat.S_ISREG(found.st_mode) and found.st_size <= LARGEST_FILE


def broken(path: Path, why: str) -> InputError:
    """The error for a file whose bytes are not what was written."""
    return InputError(f"{path.name} is broken", file=path, why=why, do=COPY_AGAIN)
