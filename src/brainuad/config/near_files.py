"""A remedy for a study file, or the results of a study, that are not there: similar names."""

from __future__ import annotations

import difflib
import os
from pathlib import Path

from brainuad.errors import InputError

STUDIES = Path("config/studies")
MOST_NEAR, MOST_LISTED = 3, 5


def near_files(path: Path) -> str:
    """What to do about a missing file: the files like it in its folder, here and among the shipped studies.

    Without a similar name, the study files that there are.
    """
    folders = dict.fromkeys(folder for folder in (path.parent, Path(), STUDIES) if folder.is_dir())
    files = [each for folder in folders for kind in ("[!.]*.yaml", "[!.]*.yml") for each in sorted(folder.glob(kind))]
    by_stem: dict[str, list[Path]] = {}
    for each in files:
        by_stem.setdefault(each.stem.lower(), []).append(each)
    close = difflib.get_close_matches(path.stem.lower(), list(by_stem), n=MOST_NEAR, cutoff=0.6)
    near = [os.fspath(each) for stem in close for each in by_stem[stem]]
    if near:
        return f"did you mean {' or '.join(near)}?"
    there = ", ".join(map(os.fspath, files[:MOST_LISTED])) + ", ..." * (len(files) > MOST_LISTED)
    return f"name one that is there ({there})" if files else "correct the path; `brainuad init` writes a study file"


def check_results(folder: Path) -> None:
    """Raises InputError where there is no folder `results/<study>`, with those like it."""
    if folder.is_dir():
        return
    if folder.exists():
        raise InputError(f"{folder} is no folder", do="name the results of a study: results/<study>")
    there = sorted(each.parent.name for each in folder.parent.glob("*/sources.json"))
    near = difflib.get_close_matches(folder.name, there, n=MOST_NEAR, cutoff=0.6)
    if near:
        do = f"did you mean {' or '.join(os.fspath(folder.parent / name) for name in near)}?"
    elif there:
        do = f"`brainuad show {folder.parent}` lists the studies there"
    else:
        do = "run the study first, or name its folder: results/<study>"
    raise InputError(f"there is no folder {folder}", do=do)
