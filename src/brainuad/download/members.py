"""What an archive holds, zip and tar alike, in its order."""

from __future__ import annotations

import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

Kind = Literal["file", "folder", "symlink", "hardlink", "other"]
GUARD: Callable[..., Any] | None = getattr(tarfile, "data_filter", None)
REFUSED: Any = getattr(tarfile, "FilterError", ())
"""tarfile's own filter and its fault, which Python 3.11.2 of Debian 12 has not; `unpack` checks each member itself."""


@dataclass(frozen=True)
class Member:
    """One member; `target` of a link as the archive says it."""

    name: str
    kind: Kind
    size: int
    target: str
    open: Callable[[], IO[bytes]]


@contextmanager
def members(archive: Path, folder: Path) -> Iterator[Iterator[Member]]:
    """The members of an archive for `folder`, one by one; tarfile's own filter, if it has one, sees a tape's."""
    if archive.name.lower().endswith(".zip"):
        with zipfile.ZipFile(archive) as pack:
            yield (_zipped(pack, info) for info in pack.infolist())
    else:
        with tarfile.open(archive) as tape:
            yield (_taped(tape, info, folder) for info in tape)


def _zipped(pack: zipfile.ZipFile, info: zipfile.ZipInfo) -> Member:
    name = info.filename
    if not info.flag_bits & 0x800:  # the bit says UTF-8; many write that without the bit
        raw = name.encode("cp437")
        try:
            name = raw.decode("utf-8")
        except UnicodeDecodeError:
            name = raw.decode("cp437")
    name = name.replace("\\", "/")
    kind: Kind = "folder" if name.endswith("/") else "file"
    target = ""
    mode = stat.S_IFMT(info.external_attr >> 16)
    if mode == stat.S_IFLNK:
        kind = "symlink"
        target = pack.read(info)[:4096].decode("utf-8", "replace") if info.file_size <= 4096 else "/"
    elif mode not in (0, stat.S_IFREG, stat.S_IFDIR):
        kind = "other"
    return Member(name, kind, info.file_size, target, lambda: pack.open(info))


def _taped(tape: tarfile.TarFile, info: tarfile.TarInfo, folder: Path) -> Member:
    if GUARD is not None:
        GUARD(info, str(folder))
    kinds: dict[bytes, Kind] = {tarfile.DIRTYPE: "folder", tarfile.SYMTYPE: "symlink", tarfile.LNKTYPE: "hardlink"}
    kind = "file" if info.isreg() else kinds.get(info.type, "other")

    def content() -> IO[bytes]:
        file = tape.extractfile(info)
        assert file is not None
        return file

    return Member(_readable(info.name), kind, info.size, _readable(info.linkname), content)


def _readable(name: str) -> str:
    """Names that are not UTF-8 read as Latin-1."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return name.encode("utf-8", "surrogateescape").decode("latin-1")
    return name
