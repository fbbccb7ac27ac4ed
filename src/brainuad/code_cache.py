"""Code hashes that were found before, in the user's cache folder.

To follow the names of the package takes CPU seconds, in each start of Snakemake and again in each job on a cluster.
The cache holds for one state of all files of the package: any edit, comments included, makes it worthless.
"""

from __future__ import annotations

import hashlib
import sys
from contextlib import suppress
from pathlib import Path

import platformdirs

from brainuad.errors import BrainuadError
from brainuad.formats.files import read_json, write_json


def cache_file(package: Path) -> Path:
    """Where the hashes of the package in this folder are kept."""
    place = hashlib.sha256(str(package.resolve()).encode()).hexdigest()[:12]
    return platformdirs.user_cache_path("brainuad") / "code" / f"{place}.json"


class CodeCache:
    """Hashes of the package in `package` by their roots. A file that cannot be read or written counts as empty."""

    def __init__(self, package: Path):
        self._file = cache_file(package)
        self._state = _state(package)
        self._hashes = self._read()

    def find(self, roots: tuple[str, ...]) -> str | None:
        """The hash over these roots; None if it is not known."""
        return self._hashes.get(" ".join(roots))

    def keep(self, roots: tuple[str, ...], found: str) -> None:
        """Keep a hash. Of two processes that write at once one wins; the other's is found again."""
        self._hashes[" ".join(roots)] = found
        with suppress(BrainuadError, OSError):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            write_json(self._file, {"state": self._state, "hashes": self._hashes})

    def _read(self) -> dict[str, str]:
        with suppress(BrainuadError, OSError, TypeError, KeyError, ValueError):
            content = read_json(self._file)
            if content["state"] == self._state:
                return dict(content["hashes"])
        return {}


def _state(package: Path) -> str:
    """Hash of all that a code hash can depend on: the files of the package, and Python, whose syntax trees differ."""
    digest = hashlib.sha256(sys.version.encode())
    for path in sorted(package.rglob("*")):
        if path.suffix == ".pyc" or not path.is_file():
            continue
        content = path.read_bytes()
        digest.update(f"\n{path.relative_to(package)} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()
