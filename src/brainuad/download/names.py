"""What file names in BIDS order say, and which of them `.bidsignore` leaves out."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path, PurePosixPath

from brainuad.config.datasets import Entity, Wanted

ENDINGS = (".nii.gz", ".nii")


@cache
def stem(name: str) -> str | None:
    """The name of a NIfTI file without its ending; None for other files."""
    return next((name.removesuffix(ending) for ending in ENDINGS if name.endswith(ending)), None)


def nifti(folder: str) -> dict[str, bool]:
    """The NIfTI files of a folder, sorted, and whether each is there: a link may lead nowhere. No folder has none."""
    try:
        with os.scandir(folder) as entries:
            return dict(sorted((entry.name, entry.is_file()) for entry in entries if entry.name.endswith(ENDINGS)))
    except (FileNotFoundError, NotADirectoryError):
        return {}


@cache
def entities(name: str) -> dict[str, str]:
    """The entities of a file name, in whatever order: `sub-1_acq-x_T1w.nii.gz` has sub and acq."""
    parts = (part.partition("-") for part in name.split(".")[0].split("_"))
    return {key: value for key, dash, value in parts if dash}


def suffix(name: str) -> str:
    """The last part of a NIfTI file's name, such as `T1w`."""
    return (stem(name) or "").rpartition("_")[2]


def fits(found: Mapping[str, str], wanted: Mapping[Entity, Wanted]) -> bool:
    """Whether a file has the wanted entities."""
    return all(_is_wanted(found.get(key), value) for key, value in wanted.items())


def _is_wanted(label: str | None, wanted: Wanted) -> bool:
    if label is None or wanted is None:
        return label is wanted
    each = wanted if isinstance(wanted, list) else [wanted]
    return any(label.isdecimal() and int(label) == one if isinstance(one, int) else label == one for one in each)


class Ignored:
    """The patterns of a `.bidsignore`, in the grammar of `.gitignore`; a folder without one ignores nothing."""

    def __init__(self, root: Path):
        path = root / ".bidsignore"
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
        patterns = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
        self.rules = [(not line.startswith("!"), _compiled(line.removeprefix("!"))) for line in patterns]

    def __contains__(self, path: str) -> bool:
        """Whether a path relative to the root, or a folder that it lies in, is ignored."""
        if not self.rules:
            return False
        parents = [f"{parent}/" for parent in reversed(PurePosixPath(path).parents) if parent.name]
        return any(self._last(place) for place in [*parents, path])

    def _last(self, place: str) -> bool:
        """What the last pattern says that fits; a folder's place ends in a slash."""
        return next((ignores for ignores, rule in reversed(self.rules) if rule.fullmatch(place)), False)


def _compiled(pattern: str) -> re.Pattern[str]:
    """A pattern with a slash before its end starts at the root, another one fits at any depth."""
    anchored = "/" in pattern.rstrip("/")
    text = ""
    for part in re.split(r"(\*\*/|/\*\*|\*|\?|\[[^]]+\])", pattern.strip("/")):
        wild = {"**/": "(?:.*/)?", "/**": "/.*", "*": "[^/]*", "?": "[^/]"}.get(part)
        text += wild or (part.replace("[!", "[^") if part.startswith("[") else re.escape(part))
    return re.compile(("" if anchored else "(?:.*/)?") + text + ("/" if pattern.endswith("/") else "/?"))
