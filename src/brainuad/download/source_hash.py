"""Hash of source files, by which files that were made before are recognised."""

from __future__ import annotations

import hashlib
from pathlib import Path


def hash_of_sources(folder: Path) -> str:
    """16 hex digits over the Python files in a folder and below it."""
    found = sorted(folder.rglob("*.py"))
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in found)).hexdigest()[:16]
