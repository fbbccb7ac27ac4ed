"""What data sets share whose files are made: the code they were made by, and how far it is."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path


def code_of(folder: Path) -> str:
    """A hash of the Python files in a folder and below it."""
    found = sorted(folder.rglob("*.py"))
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in found)).hexdigest()[:16]


def tell(name: str, unit: str, done: int, total: int, seconds: float) -> None:
    """A line on stderr with the time left: rewritten in a terminal, every tenth in a log."""
    left = seconds / done * (total - done)
    line = f"{name}: {done} of {total} {unit}, {int(left // 60)}:{int(left % 60):02d} min left"
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{line}" + "\n" * (done == total))
    elif done % 10 == 0 or done == total:
        sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
