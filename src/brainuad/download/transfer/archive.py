"""The members of zip and tar archives in one form, in the order of the archive."""

from __future__ import annotations

import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

MemberType = Literal["file", "folder", "symlink", "hardlink", "other"]
TAR_FILTER: Callable[..., Any] | None = getattr(tarfile, "data_filter", None)
REFUSED: Any = getattr(tarfile, "FilterError", ())
"""Python's filter for tar members and its error; Python 3.11.2 (Debian 12) has neither, so `unpack` checks as well."""


@dataclass(frozen=True)
class Member:
    """One member; `target`: of a link, as written in the archive."""

    name: str
    member_type: MemberType
    size: int
    target: str
    open: Callable[[], IO[bytes]]


@contextmanager
def members(archive: Path, folder: Path) -> Iterator[Iterator[Member]]:
    """The members of an archive, one by one. Python's tar filter for `folder` is applied if there is one."""
    if archive.name.lower().endswith(".zip"):
        with zipfile.ZipFile(archive) as zip_archive:
            yield (_zip_member(zip_archive, info) for info in zip_archive.infolist())
    else:
        with tarfile.open(archive) as tar_archive:
            yield (_tar_member(tar_archive, info, folder) for info in tar_archive)


def _zip_member(zip_archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Member:
    name = info.filename
    if not info.flag_bits & 0x800:  # the bit means UTF-8; many programs write UTF-8 without it
        raw = name.encode("cp437")
        try:
            name = raw.decode("utf-8")
        except UnicodeDecodeError:
            name = raw.decode("cp437")
    name = name.replace("\\", "/")
    member_type: MemberType = "folder" if name.endswith("/") else "file"
    target = ""
    mode = stat.S_IFMT(info.external_attr >> 16)
    if mode == stat.S_IFLNK:
        member_type = "symlink"
        target = zip_archive.read(info)[:4096].decode("utf-8", "replace") if info.file_size <= 4096 else "/"
    elif mode not in (0, stat.S_IFREG, stat.S_IFDIR):
        member_type = "other"
    return Member(name, member_type, info.file_size, target, lambda: zip_archive.open(info))


def _tar_member(tar_archive: tarfile.TarFile, info: tarfile.TarInfo, folder: Path) -> Member:
    if TAR_FILTER is not None:
        TAR_FILTER(info, str(folder))
    types: dict[bytes, MemberType]
    types = {tarfile.DIRTYPE: "folder", tarfile.SYMTYPE: "symlink", tarfile.LNKTYPE: "hardlink"}
    member_type = "file" if info.isreg() else types.get(info.type, "other")

    def content() -> IO[bytes]:
        file = tar_archive.extractfile(info)
        assert file is not None
        return file

    return Member(_readable(info.name), member_type, info.size, _readable(info.linkname), content)


def _readable(name: str) -> str:
    """A name that is not UTF-8, read as Latin-1."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return name.encode("utf-8", "surrogateescape").decode("latin-1")
    return name
