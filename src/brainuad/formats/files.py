"""Atomic writes: a file or folder is complete or absent. Also JSON, tables and checksums."""

from __future__ import annotations

import csv
import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from brainuad.errors import InputError, StorageError
from brainuad.formats import leftovers


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`, with the same suffixes, and move it there on success.

    Raises StorageError if the file system refuses, as on a full disk; the temporary file is always removed.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp("".join(path.suffixes[-2:]), leftovers.prefix(path), path.parent)
        os.close(handle)
    except OSError as error:
        raise unwritable(path, error) from error
    part = Path(name)
    try:
        yield part
        part.chmod(0o666 & ~_umask())  # mkstemp gives 0600, which a lab's colleagues could not read
        part.replace(path)
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """Yield an empty temporary folder beside `path`; on success it replaces `path` and all that is in it."""
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        leftovers.remove_leftovers(path)
        part = Path(tempfile.mkdtemp(dir=path.parent, prefix=leftovers.prefix(path)))
    except OSError as error:
        raise unwritable(path, error) from error
    try:
        yield part
        part.chmod(0o777 & ~_umask())
        if path.exists():
            shutil.rmtree(path)
        part.replace(path)
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def unwritable(path: Path, error: OSError) -> StorageError:
    """The error for a write that the file system refused."""
    if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
        why = f"another process writes there: {error.strerror}"
        do = "let one of the two end, then run the same command again"
        return StorageError(f"cannot write {path.name}", file=path, why=why, do=do)
    return StorageError(
        f"cannot write {path.name}",
        file=path,
        why=error.strerror or f"the file system took only a part of it ({error})",  # as numpy says of a full disk
        do="free space or correct the permissions of that folder, then run the same command again",
    )


def write_json(path: str | Path, content: Any) -> None:
    """Write `content` with sorted keys and a final newline."""
    with atomic(path) as part:
        part.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def read_json(path: str | Path) -> Any:
    """Read JSON; raises InputError if the file is missing or broken."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(
            f"cannot read {Path(path).name}", file=path, why=str(error), do="delete it, run again"
        ) from None


def read_tsv(path: str | Path, what: str) -> tuple[list[str], list[dict[str, str]]]:
    """Columns and rows, as text, of a table that brainuad wrote; raises InputError, which names it as `what`."""
    try:
        with open(path, encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file, delimiter="\t")
            columns, rows = list(reader.fieldnames or []), list(reader)
        if broken := next((i for i, row in enumerate(rows, 2) if None in row or None in row.values()), 0):
            raise ValueError(f"line {broken} has not as many cells as there are columns")
        return columns, rows
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(f"cannot read {what}", file=path, why=str(error), do="run again") from None


def finished(folder: Path, pattern: str) -> list[Path]:
    """Files below `folder` that match, sorted; without what jobs write there or left when they were killed."""
    return sorted(path for path in folder.glob(pattern) if not _hidden(path.relative_to(folder)))


def used(path: Path) -> float:
    """Bytes that a file or folder occupies on its disk, links not followed; 0 if it does not exist."""
    inside = [Path(place) / name for place, _, names in os.walk(path) for name in names]
    return sum(_blocks(each) for each in ([path] if path.is_symlink() or path.is_file() else inside)) * 512.0


def sha256(path: str | Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _blocks(path: Path) -> int:
    try:
        return path.lstat().st_blocks
    except OSError:
        return 0


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
