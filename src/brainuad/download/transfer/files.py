"""The files of a data set: downloaded, checked and unpacked into its folder, as a whole or not at all."""

from __future__ import annotations

import fcntl
import hashlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from brainuad.download.transfer.http import Patience, delete_part, download_file
from brainuad.download.transfer.login import Session, safe_url
from brainuad.download.transfer.remote import UNFINISHED, RemoteFile
from brainuad.download.transfer.unpack import is_archive, is_unpacked, unpack
from brainuad.errors import InputError, StorageError
from brainuad.formats import files

logger = logging.getLogger(__name__)


def fetch_files(
    remotes: list[RemoteFile],
    folder: Path,
    page: str = "the set's page in docs/datasets.md",
    patience: Patience | None = None,
) -> None:
    """Download each file into `folder` and unpack archives there; existing files are only checked.

    Files are collected in `folder/.download` and moved once all are complete and their checksums are right, so that the
    folder holds the whole data set or nothing. If no checksum is published, that of the first download is kept in
    `.download/<path>.sha256.json`. A second call at the same time waits for the first. `page`: address for messages.
    Raises InputError if a server refuses, a checksum or an existing file is wrong, or the disk is full; the next call
    resumes.
    """
    for remote in remotes:
        parts = PurePosixPath(remote.path).parts
        if not parts or parts[0] in ("/", ".download") or ".." in parts:
            what, why = f"the download destination is {remote.path!r}", "it is outside the data set's folder"
            raise InputError(what, file=safe_url(remote.url), why=why, do="report it to the data set's authors")
    marker = folder / UNFINISHED
    if not marker.exists() and all(_is_complete(remote, folder) for remote in remotes):
        return
    with _locked(folder):
        missing = [remote for remote in remotes if not _is_complete(remote, folder)]
        with Session() as session:
            for remote in missing:
                _collect(session, remote, folder, page, patience or Patience())
        marker.touch()
        for remote in missing:
            try:
                _move_into_place(remote, folder)
            except StorageError:
                raise
            except InputError as error:
                do = f"{error.do}; or unpack it yourself, then delete {marker}"
                raise InputError(error.what, file=error.file, why=error.why, do=do) from None
        marker.unlink()


def _in_download_folder(remote: RemoteFile, folder: Path, end: str = "") -> Path:
    return folder / ".download" / f"{remote.path}{end}"


def _is_complete(remote: RemoteFile, folder: Path) -> bool:
    """Whether nothing is left to do; an archive may be deleted after it was unpacked."""
    path = folder / remote.path
    if is_archive(remote.path):
        return is_unpacked(path.parent, _in_download_folder(remote, folder, ".unpacked"))
    if not path.is_file():
        return False
    expected = _expected_checksum(remote, folder)
    if expected and (actual := _checksum(path, expected)) != expected:
        why = f"its checksum is {actual}, that of the downloaded file {expected}"
        raise InputError(f"{remote.path} has changed", file=path, why=why, do="delete it to download it again")
    return True


def _collect(session: Session, remote: RemoteFile, folder: Path, page: str, patience: Patience) -> None:
    """Download the file to `.download/<path>` and check it."""
    done, path = _in_download_folder(remote, folder), folder / remote.path
    for existing in (done, path):  # `path`: an archive put there by hand, or one whose content was deleted
        if existing.is_file():
            _check(remote, folder, existing)
            return
    part = _in_download_folder(remote, folder, ".part")
    with _writable(part):
        part.parent.mkdir(parents=True, exist_ok=True)
    for last in (False, True):
        download_file(session, remote, part, page, patience)
        try:
            _check(remote, folder, part)
        except InputError as error:
            if not remote.checksum:
                raise
            delete_part(part)
            if last:
                raise
            logger.warning("%s: %s; downloading it again", part.stem, error.why)
        else:
            break
    with _writable(done):
        part.replace(done)
        delete_part(part)


def _check(remote: RemoteFile, folder: Path, path: Path) -> None:
    """Compare a file with the published checksum, or with that of its first download, which is kept."""
    note = _in_download_folder(remote, folder, ".sha256.json")
    expected = _expected_checksum(remote, folder)
    if not expected:
        size, date = path.stat().st_size, datetime.now(UTC).isoformat(timespec="seconds")
        content = {"sha256": files.sha256(path), "size": size, "date": date, "url": safe_url(remote.url)}
        files.write_json(note, content)
    elif (actual := _checksum(path, expected)) != expected:
        why = f"its checksum is {actual} and should be {expected}"
        do = f"delete it and run the command again; if it stays wrong, tell the authors of {safe_url(remote.url)}"
        if not remote.checksum:
            why = f"its checksum is {actual} and was {expected} at the first download"
            do = f"if the set has a new release, delete {note} and run the same command again"
        raise InputError(f"{remote.path} has a wrong checksum", file=path, why=why, do=do)


def _move_into_place(remote: RemoteFile, folder: Path) -> None:
    done, path = _in_download_folder(remote, folder), folder / remote.path
    with _writable(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    archive = done if done.is_file() else path
    if is_archive(remote.path):
        note = _in_download_folder(remote, folder, ".unpacked")
        note.unlink(missing_ok=True)
        logger.info("%s: unpacking", path.name)
        unpack(archive, path.parent, note)
    if archive is done:
        with _writable(path):
            done.replace(path)


def _expected_checksum(remote: RemoteFile, folder: Path) -> str:
    """`sha256:...` or `md5:...`, published or of the first download; empty before that."""
    if remote.checksum:
        algorithm, _, digits = remote.checksum.partition(":")
        return f"{algorithm}:{digits.lower()}"
    note = _in_download_folder(remote, folder, ".sha256.json")
    return f"sha256:{files.read_json(note)['sha256']}" if note.is_file() else ""


def _checksum(path: Path, expected: str) -> str:
    algorithm = expected.partition(":")[0]
    with path.open("rb") as file:
        return f"{algorithm}:{hashlib.file_digest(file, algorithm).hexdigest()}"


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Allow one download into a folder at a time; a second one waits."""
    lock = folder / ".download" / "lock"
    with _writable(lock):
        lock.parent.mkdir(parents=True, exist_ok=True)
        file = lock.open("w")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            logger.warning("%s: another job is downloading it; waiting for that one", folder.name)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def _writable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise files.unwritable(path, error) from None
