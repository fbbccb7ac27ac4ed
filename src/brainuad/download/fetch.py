"""Downloads that resume, are checked, and are unpacked without leaving their folder."""

from __future__ import annotations

import fcntl
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from brainuad.download.known import UNFINISHED, Remote
from brainuad.download.login import Session, shown
from brainuad.download.progress import say
from brainuad.download.transfer import Patience, forget, transfer
from brainuad.download.unpack import is_archive, is_unpacked, unpack
from brainuad.errors import InputError, StorageError
from brainuad.formats import files


def fetch(
    remotes: list[Remote],
    folder: Path,
    page: str = "the set's page in docs/datasets.md",
    patience: Patience | None = None,
) -> None:
    """Download each file into `folder` and unpack archives there; what is there already is only checked.

    Files gather in `folder/.download` and move once all are whole and their checksums fit, so that a folder holds a
    set or nothing. A checksum that nobody publishes is kept in `.download/<path>.sha256.json` from the first download
    on. A second call at the same time waits for the first. `page`: where a person may read of the set. Raises
    InputError where a server refuses, a checksum does not fit, a file there is not the one downloaded, or the disk is
    full; the next call goes on with what came.
    """
    for remote in remotes:
        parts = PurePosixPath(remote.path).parts
        if not parts or parts[0] in ("/", ".download") or ".." in parts:
            why, do = "that leads out of the set's folder", "tell the set's authors"
            raise InputError(f"a file is to be downloaded to {remote.path!r}", file=shown(remote.url), why=why, do=do)
    marker = folder / UNFINISHED
    if not marker.exists() and all(_is_there(remote, folder) for remote in remotes):
        return
    with _alone(folder):
        missing = [remote for remote in remotes if not _is_there(remote, folder)]
        with Session() as session:
            for remote in missing:
                _gather(session, remote, folder, page, patience or Patience())
        marker.touch()
        for remote in missing:
            try:
                _place(remote, folder)
            except StorageError:
                raise
            except InputError as error:
                do = f"{error.do}; or unpack it yourself, then delete {marker}"
                raise InputError(error.what, file=error.file, why=error.why, do=do) from None
        marker.unlink()


def _aside(remote: Remote, folder: Path, end: str = "") -> Path:
    return folder / ".download" / f"{remote.path}{end}"


def _is_there(remote: Remote, folder: Path) -> bool:
    """Whether nothing is left to do; an archive may be deleted once it is unpacked."""
    path = folder / remote.path
    if is_archive(remote.path):
        return is_unpacked(path.parent, _aside(remote, folder, ".unpacked"))
    if not path.is_file():
        return False
    wanted = _wanted(remote, folder)
    if wanted and (found := _sum(path, wanted)) != wanted:
        why = f"its checksum is {found}, that of the downloaded file {wanted}"
        raise InputError(f"{remote.path} has changed", file=path, why=why, do="delete it to download it again")
    return True


def _gather(session: Session, remote: Remote, folder: Path, page: str, patience: Patience) -> None:
    """Bring the file, whole and checked, to `.download/<path>`."""
    done, path = _aside(remote, folder), folder / remote.path
    for there in (done, path):  # the latter: an archive that was brought by hand, or whose members are gone
        if there.is_file():
            _check(remote, folder, there)
            return
    part = _aside(remote, folder, ".part")
    with _writing(part):
        part.parent.mkdir(parents=True, exist_ok=True)
    for last in (False, True):
        transfer(session, remote, part, page, int(is_archive(remote.path)), patience)
        try:
            _check(remote, folder, part)
        except InputError as error:
            if not remote.checksum:
                raise
            forget(part)
            if last:
                raise
            say(f"{part.stem}: {error.why}; downloading it anew")
        else:
            break
    with _writing(done):
        part.replace(done)
        forget(part)


def _check(remote: Remote, folder: Path, path: Path) -> None:
    """Hold a file against the checksum that is published or was found first; keep that of the very first."""
    note = _aside(remote, folder, ".sha256.json")
    wanted = _wanted(remote, folder)
    if not wanted:
        size, date = path.stat().st_size, datetime.now(UTC).isoformat(timespec="seconds")
        content = {"sha256": files.sha256(path), "size": size, "date": date, "url": shown(remote.url)}
        files.write_json(note, content)
    elif (found := _sum(path, wanted)) != wanted:
        why = f"its checksum is {found} and should be {wanted}"
        do = f"delete it and run the same command again; if that does not help tell the authors of {shown(remote.url)}"
        if not remote.checksum:
            why = f"its checksum is {found} and was {wanted} at the first download"
            do = f"if the set has a new release, delete {note} and run the same command again"
        raise InputError(f"{remote.path} is not the file expected", file=path, why=why, do=do)


def _place(remote: Remote, folder: Path) -> None:
    done, path = _aside(remote, folder), folder / remote.path
    with _writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    archive = done if done.is_file() else path
    if is_archive(remote.path):
        note = _aside(remote, folder, ".unpacked")
        note.unlink(missing_ok=True)
        say(f"{path.name}: unpacking")
        unpack(archive, path.parent, note)
    if archive is done:
        with _writing(path):
            done.replace(path)


def _wanted(remote: Remote, folder: Path) -> str:
    """`sha256:...` or `md5:...`, as published or as found at the first download; empty before."""
    if remote.checksum:
        kind, _, digits = remote.checksum.partition(":")
        return f"{kind}:{digits.lower()}"
    note = _aside(remote, folder, ".sha256.json")
    return f"sha256:{files.read_json(note)['sha256']}" if note.is_file() else ""


def _sum(path: Path, wanted: str) -> str:
    kind = wanted.partition(":")[0]
    with path.open("rb") as file:
        return f"{kind}:{hashlib.file_digest(file, kind).hexdigest()}"


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One download at a time into a folder; the second waits."""
    lock = folder / ".download" / "lock"
    with _writing(lock):
        lock.parent.mkdir(parents=True, exist_ok=True)
        file = lock.open("w")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"{folder.name}: another job is downloading it; waiting for that one")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise files.unwritable(path, error) from None
