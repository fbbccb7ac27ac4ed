"""`brainuad run`: Snakemake with a profile and a study file."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from brainuad.config.near_files import near_files
from brainuad.errors import InputError

SNAKEFILE = "Snakefile"


def run(study: Path, profile: Path, more: Sequence[str]) -> NoReturn:
    """Become Snakemake, run in this folder, so that it gets every signal itself. `more`: further arguments of it.

    Raises InputError where the folder is no clone of brainuad, or a file is missing.
    """
    if not Path(SNAKEFILE).is_file():
        why = f"there is no {SNAKEFILE} in {Path.cwd()}"
        raise InputError("a study is run in a clone of brainuad", why=why, do="change to the folder of the clone")
    if not study.exists():
        raise InputError(f"there is no file {study}", do=near_files(study))
    if study.is_dir():
        raise InputError(f"{study} is a folder", do="name the study file, such as config.yaml")
    if not profile.exists():
        raise InputError(f"{profile} is not there", file=profile.absolute(), do="correct --profile")
    command = [sys.executable, "-m", "snakemake", "--profile", str(profile), "--configfile", str(study), *more]
    os.execv(command[0], command)  # noqa: S606 - the words are passed as they are
