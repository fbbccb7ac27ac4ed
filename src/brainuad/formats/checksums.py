"""`checksums.json`: what the files of a folder were when their job wrote them, and what they were made of.

A stage writes it last into its folder, and the next one compares each file before it uses it: a flipped bit, a cut
file, two files in each other's place, an edit and a file of another model are noticed. CRC-32 detects accidents,
not forgery. Records of costs (`run.json`) are not listed.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from errno import ENXIO
from functools import lru_cache
from pathlib import Path
from typing import Any

from brainuad.errors import InputError
from brainuad.formats.files import read_json, write_json

NAME = "checksums.json"
BLOCK = 1 << 20
"""Bytes that are read at a time."""
SEAL, SEAL_LENGTH = "sha256", 64
"""Key of a record's own checksum, and its length in digits."""
DEEPEST = 4
"""Folders between a file and its record: sub, ses and anat, and the folder itself."""
INNER = ("anat", "ct", "sub-", "ses-")
"""How folders begin that have no record of their own."""


@dataclass(frozen=True)
class Checksums:
    """The record of `folder`.

    `files`: CRC-32 of files by their path in the folder; `arrays`: of each volume of an array, by the array's name;
    `made_of`: by name, what the files were made of; `seal`: SHA-256 of all this, by which other records name it.
    """

    folder: Path
    files: Mapping[str, int]
    arrays: Mapping[str, Sequence[int]] = field(default_factory=dict)
    made_of: Mapping[str, str] = field(default_factory=dict)
    seal: str = ""

    def check(self, path: Path) -> Path:
        """`path`, a file of the folder; raises InputError if it is missing or not what was written."""
        name = path.relative_to(self.folder).as_posix()
        if name not in self.files:
            raise self.refused(f"{path.name} was not written with its folder", path, f"{NAME} does not list it")
        try:
            found = of_file(path)
        except OSError as error:
            why = error.strerror or str(error)
            raise self.refused(f"cannot read {path.name}", path, why) from None
        if found != self.files[name]:
            raise self.refused(f"{path.name} was altered", path, ALTERED)
        return path

    def require(self, **made_of: str) -> None:
        """Raises InputError if the files were made of something else than `made_of`, as far as both name it."""
        for name, value in made_of.items():
            if name in self.made_of and self.made_of[name] != value:
                found, wanted = (
                    each[:12] if len(each) == SEAL_LENGTH else each for each in (self.made_of[name], value)
                )
                why = f"they come from the {name.replace('_', ' ')} {found}, and not {wanted}"
                raise self.refused(f"the files in {self.folder.name} do not belong here", self.folder, why)

    def refused(self, what: str, file: Path, why: str) -> InputError:
        """The error for a file that is not to be used, with its remedy."""
        return InputError(what, file=file, why=why, do=remedy(self.folder))


def remedy(folder: Path) -> str:
    """What to do about a file of `folder` that is not to be used."""
    return f"delete {folder} and run the same command again, which makes it anew"


def of_bytes(content: Any, start: int = 0) -> int:
    """CRC-32 of bytes or of a contiguous array."""
    return zlib.crc32(content, start)


def of_file(path: Path) -> int:
    """CRC-32 of a file; raises OSError."""
    if path.is_fifo():  # to open it would wait for ever
        raise OSError(ENXIO, "it is a pipe")
    checksum = 0
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            checksum = zlib.crc32(block, checksum)
    return checksum


def of_files(folder: Path, names: Iterable[str]) -> dict[str, int]:
    """CRC-32 of files of a folder by their paths in it."""
    return {name: of_file(folder / name) for name in names}


def write(
    folder: Path,
    files: Mapping[str, int],
    made_of: Mapping[str, str] | None = None,
    arrays: Mapping[str, Sequence[int]] | None = None,
) -> None:
    """Write the record of `folder`; for the rest see `Checksums`."""
    content = {"files": dict(files), "arrays": dict(arrays or {}), "made_of": dict(made_of or {})}
    write_json(folder / NAME, {**content, SEAL: seal_of(content)})


def read(folder: Path) -> Checksums:
    """Read the record of `folder`; raises InputError if it is missing, broken or altered."""
    path = folder / NAME
    try:
        stat = path.stat()
    except OSError:
        why = "an older version of brainuad wrote the folder, or it is not complete"
        raise InputError(f"there is no {NAME} in {folder.name}", file=path, why=why, do=remedy(folder)) from None
    return _read(folder, stat.st_mtime_ns, stat.st_size, stat.st_ino)


def check(path: Path) -> Path:
    """`path`, compared with the record of the folder that it lies in or below; raises InputError as `read`."""
    return of(path).check(path)


def of(path: Path) -> Checksums:
    """The record that lists `path`, whether or not the file is there."""
    above = [folder for folder in path.parents[:DEEPEST] if not folder.name.startswith(INNER)]
    return read(next((folder for folder in above if (folder / NAME).is_file()), above[0]))


@lru_cache(maxsize=32)
def _read(folder: Path, *_: int) -> Checksums:
    """Read the record once as long as the file is the same."""
    try:
        content = read_json(folder / NAME)
    except InputError as error:
        raise InputError(error.what, file=error.file, why=error.why, do=remedy(folder)) from None
    seal = content.pop(SEAL, None) if isinstance(content, dict) else None
    if seal is None or seal != seal_of(content):
        raise InputError(f"{NAME} was altered", file=folder / NAME, why=ALTERED_RECORD, do=remedy(folder))
    return Checksums(folder, content["files"], content["arrays"], content["made_of"], seal)


def seal_of(content: Mapping[str, Any]) -> str:
    """SHA-256 of JSON content, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


ALTERED = f"its checksum is not the one in {NAME}: it was damaged, edited or put in another's place"
ALTERED_RECORD = "its own checksum does not fit: it was damaged or edited"
