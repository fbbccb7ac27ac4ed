"""Archives, unpacked whole or not at all, and never outside their folder."""

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

from brainuad.download.known import ARCHIVES
from brainuad.download.members import REFUSED, Member, members
from brainuad.errors import InputError
from brainuad.formats import files
from brainuad.units import format_size

_BLOCK = 1 << 20
_BROKEN = (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError)
"""RuntimeError: zipfile's for a member that is encrypted or packed by a method it does not know."""


@dataclass(frozen=True)
class Limits:
    """What an archive may hold: more is taken for an attack."""

    ratio: float = 200.0
    """Bytes unpacked, as a multiple of the archive's."""
    least: int = 10**9
    """So many bytes are allowed whatever the ratio: masks compress well."""
    members: int = 200_000


def is_archive(name: str) -> bool:
    """Whether a file of this name is unpacked; `.nii.gz` is not."""
    return name.lower().endswith(ARCHIVES)


def is_unpacked(folder: Path, note: Path) -> bool:
    """Whether `note` says that an archive was unpacked into `folder`, and it still lies there."""
    return note.is_file() and all(os.path.lexists(folder / name) for name in files.read_json(note)["names"])


def unpack(archive: Path, folder: Path, note: Path, limits: Limits | None = None) -> None:
    """Put the members of `archive`, as they lie in it, under `folder`, and then write `note`.

    Zip, tar and gzipped tar. Files of the same name are replaced, folders joined; owners, rights and times of the
    archive do not count. The next call ends a move that was broken off. Raises InputError, with the folder as it was,
    for a broken archive, for a member that would lie or lead outside the folder or is no file, folder or link, and for
    an archive larger than `limits` or the disk.
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
            raise InputError(f"{archive.name} holds {clash.name} as another kind of file", file=clash, do=do)
        _merge(place, folder)
        files.write_json(note, {"archive": archive.name, "names": names})
    except REFUSED as error:
        raise _refused(archive, str(error.tarinfo.name), "it leads out of the folder or is no file") from None
    except _BROKEN as error:
        raise _broken(archive, str(error)) from None
    except OSError as error:
        if error.errno is None:  # gzip's own
            raise _broken(archive, str(error)) from None
        raise files.unwritable(folder, error) from None
    finally:
        shutil.rmtree(place, ignore_errors=True)


class _Unpacking:
    """One archive on its way into an empty folder."""

    def __init__(self, archive: Path, place: Path, limits: Limits):
        self.archive, self.place = archive, place
        self.free = shutil.disk_usage(place).free
        self.allowed = max(limits.ratio * archive.stat().st_size, limits.least)
        self.limits = limits
        self.bytes = 0
        self.links: set[str] = set()
        self.written: set[str] = set()

    def run(self) -> None:
        with members(self.archive, self.place) as found:
            for count, member in enumerate(found, start=1):
                if count > self.limits.members:
                    why = f"it holds more than {self.limits.members} members"
                    raise _refused(self.archive, member.name, why)
                self._put(member)

    def _put(self, member: Member) -> None:
        parts = self._parts(member)
        if not parts:
            return
        path = self.place.joinpath(*parts)
        if member.kind == "folder":
            path.mkdir(parents=True, exist_ok=True)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)  # a member that comes twice: the later one counts
        if member.kind == "symlink":
            self._check_target(member, parts)
            path.symlink_to(member.target)
            self.links.add(_key(parts))
        elif member.kind == "hardlink":
            source = _split(member.target)
            if _key(source) not in self.written:
                raise _refused(self.archive, member.name, "it links to what is no file of this archive")
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
            raise _refused(self.archive, name, "its path leads out of the folder")
        if member.kind == "other":
            raise _refused(self.archive, name, "it is a device, a pipe or the like")
        if any(_key(parts[:depth]) in self.links for depth in range(1, len(parts))):
            raise _refused(self.archive, name, "its path leads through a link")
        return parts

    def _check_target(self, member: Member, parts: list[str]) -> None:
        """No path goes through a link, so `..` counts folders as long as it stands first."""
        target = member.target.split("/")
        target = [part for part in target if part not in ("", ".")]
        up = next((depth for depth, part in enumerate(target) if part != ".."), len(target))
        if member.target.startswith("/") or up > len(parts) - 1 or ".." in target[up:] or not target:
            raise _refused(self.archive, member.name, f"it links to {member.target!r}, out of the folder")

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
        """Before anything is written; a member gives no more bytes than its header says."""
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
    """The same for names that some file systems take for one."""
    return unicodedata.normalize("NFC", "/".join(parts)).casefold()


def _clashes(source: Path, target: Path) -> Iterator[Path]:
    """Where a folder would replace a file or a file a folder."""
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
    do = "tell the set's authors, and unpack by hand what you trust"
    return InputError(f"{archive.name} is not unpacked because of its member {member!r}", file=archive, why=why, do=do)


def _broken(archive: Path, why: str) -> InputError:
    return InputError(f"cannot unpack {archive.name}", file=archive, why=why, do="delete it and download it again")
