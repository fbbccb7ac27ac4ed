"""Unpacking of archives: as a whole or not at all, and never outside their folder."""

from __future__ import annotations

import os
import re
import shutil
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from brainuad.download.transfer.archive import REFUSED, Member, members
from brainuad.download.transfer.remote import ARCHIVES
from brainuad.errors import InputError
from brainuad.formats import files
from brainuad.units import format_size

_BLOCK = 1 << 20
_BROKEN = (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError)
"""RuntimeError: from zipfile, for a member that is encrypted or uses an unknown compression."""


@dataclass(frozen=True)
class Limits:
    """Limits of an archive's content; more counts as an attack (decompression bomb)."""

    ratio: float = 200.0
    """Unpacked bytes per byte of the archive."""
    least: int = 10**9
    """Bytes that are allowed at any ratio: masks compress well."""
    members: int = 200_000


def is_archive(name: str) -> bool:
    """Whether a file of this name is unpacked; `.nii.gz` is not."""
    return name.lower().endswith(ARCHIVES)


def is_unpacked(folder: Path, note: Path) -> bool:
    """Whether, according to `note`, an archive was unpacked into `folder`, and its content still exists."""
    return note.is_file() and all(os.path.lexists(folder / name) for name in files.read_json(note)["names"])


def unpack(archive: Path, folder: Path, note: Path, limits: Limits | None = None) -> None:
    """Unpack `archive` (zip, tar, gzipped tar) into `folder`, then write `note`.

    Files of the same name are replaced, folders are merged; owners, permissions and times of the archive are ignored.
    If the final move is interrupted, the next call completes it. Raises InputError, with the folder unchanged, for a
    broken archive, for a member outside the folder or one that is no file, folder or link, and if the content exceeds
    `limits` or the disk.
    """
    if is_unpacked(folder, note):
        return
    place = folder / f".unpacking-{archive.name}"
    try:
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        _Unpacking(archive, place, limits or Limits()).run()
        names = sorted(entry.name for entry in place.iterdir())
        if clash := next(_clashes(place, folder), None):
            do = "move that away, then run the same command again"
            raise InputError(f"{archive.name} holds {clash.name} as another type of file", file=clash, do=do)
        _merge(place, folder)
        files.write_json(note, {"archive": archive.name, "names": names})
    except REFUSED as error:
        raise _refused(archive, str(error.tarinfo.name), "it is outside the folder or is no file") from None
    except _BROKEN as error:
        raise _broken(archive, str(error)) from None
    except OSError as error:
        if error.errno is None:  # from gzip
            raise _broken(archive, str(error)) from None
        raise files.unwritable(folder, error) from None
    finally:
        shutil.rmtree(place, ignore_errors=True)


class _Unpacking:
    """One archive that is unpacked into an empty folder."""

    def __init__(self, archive: Path, place: Path, limits: Limits):
        self.archive, self.place = archive, place
        self.free = shutil.disk_usage(place).free
        self.allowed = max(limits.ratio * archive.stat().st_size, limits.least)
        self.limits = limits
        self.bytes = 0
        self.links: set[str] = set()
        self.written: set[str] = set()

    def run(self) -> None:
        with members(self.archive, self.place) as entries:
            for count, member in enumerate(entries, start=1):
                if count > self.limits.members:
                    why = f"it holds more than {self.limits.members} members"
                    raise _refused(self.archive, member.name, why)
                self._put(member)

    def _put(self, member: Member) -> None:
        parts = self._parts(member)
        if not parts:
            return
        path = self.place.joinpath(*parts)
        if member.member_type == "folder":
            path.mkdir(parents=True, exist_ok=True)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)  # if a member occurs twice, the later one counts
        if member.member_type == "symlink":
            self._check_target(member, parts)
            path.symlink_to(member.target)
            self.links.add(_key(parts))
        elif member.member_type == "hardlink":
            source = _split(member.target)
            if _key(source) not in self.written:
                raise _refused(self.archive, member.name, "its link target is no file of this archive")
            os.link(self.place.joinpath(*source), path)
        else:
            self._write(member, path)
            self.written.add(_key(parts))

    def _parts(self, member: Member) -> list[str]:
        """The member's path below the folder."""
        name, parts = member.name, _split(member.name)
        if name.startswith("/") or re.match(r"[A-Za-z]:|\\\\", name):
            raise _refused(self.archive, name, "its path is absolute")
        if ".." in parts:
            raise _refused(self.archive, name, "its path is outside the folder")
        if member.member_type == "other":
            raise _refused(self.archive, name, "it is a device, a pipe or the like")
        if any(_key(parts[:depth]) in self.links for depth in range(1, len(parts))):
            raise _refused(self.archive, name, "its path leads through a link")
        return parts

    def _check_target(self, member: Member, parts: list[str]) -> None:
        """Paths never go through links, so a leading `..` always means the parent folder."""
        target = member.target.split("/")
        target = [part for part in target if part not in ("", ".")]
        up = next((depth for depth, part in enumerate(target) if part != ".."), len(target))
        if member.target.startswith("/") or up > len(parts) - 1 or ".." in target[up:] or not target:
            raise _refused(self.archive, member.name, f"it links to {member.target!r}, outside the folder")

    def _write(self, member: Member, path: Path) -> None:
        self._count(member)
        written = 0
        with member.open() as source, path.open("xb") as file:
            while block := source.read(_BLOCK):
                written += len(block)
                file.write(block)
        if written != member.size:
            raise EOFError(f"{member.name} ends after {written} of {member.size} bytes")

    def _count(self, member: Member) -> None:
        """Check sizes before anything is written; reading stops at the size in the header."""
        self.bytes += member.size
        if self.bytes > self.allowed:
            why = f"with it the archive grows to more than {format_size(self.allowed)}, {self._times()}"
            raise _refused(self.archive, member.name, why)
        if self.bytes > self.free:
            why = f"more than the {format_size(self.free)} that are free"
            raise InputError(
                f"{self.archive.name} does not fit on the disk", file=self.archive, why=why, do="free space"
            )

    def _times(self) -> str:
        return f"{self.allowed / max(self.archive.stat().st_size, 1):.0f} times its own size"


def _split(name: str) -> list[str]:
    return [part for part in name.split("/") if part not in ("", ".")]


def _key(parts: list[str]) -> str:
    """Equal for names that some file systems cannot tell apart."""
    return unicodedata.normalize("NFC", "/".join(parts)).casefold()


def _clashes(source: Path, target: Path) -> Iterator[Path]:
    """Paths where a folder would replace a file or a file a folder."""
    for entry in source.iterdir():
        goal = target / entry.name
        if os.path.lexists(goal):
            folder = entry.is_dir() and not entry.is_symlink()
            if folder != goal.is_dir():
                yield goal
            elif folder:
                yield from _clashes(entry, goal)


def _merge(source: Path, target: Path) -> None:
    for entry in sorted(source.iterdir()):
        goal = target / entry.name
        if entry.is_dir() and not entry.is_symlink() and goal.is_dir():
            _merge(entry, goal)
        else:
            entry.replace(goal)


def _refused(archive: Path, member: str, why: str) -> InputError:
    do = "report it to the data set's authors, and unpack by hand what you trust"
    return InputError(f"{archive.name} is not unpacked because of its member {member!r}", file=archive, why=why, do=do)


def _broken(archive: Path, why: str) -> InputError:
    return InputError(f"cannot unpack {archive.name}", file=archive, why=why, do="delete it and download it again")
