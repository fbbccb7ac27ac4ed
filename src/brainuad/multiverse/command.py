"""The whole of `brainuad multiverse`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from brainuad.config.load import load_study
from brainuad.errors import InputError
from brainuad.formats.files import atomic_folder
from brainuad.formats.tables import write as write_table
from brainuad.layout import Layout
from brainuad.multiverse import pages
from brainuad.multiverse.choices import grid_of
from brainuad.multiverse.rescore import COLUMNS, find_runs, rescore, table

if TYPE_CHECKING:
    from rich.table import Table

FOLDER, TABLE = "multiverse", "multiverse.tsv"


def multiverse(file: Path, folder: Path) -> list[Table | str]:
    """Score the maps in `folder` (`results/<study>`) under every choice, write `multiverse/` there; what to show.

    `file`: of the study. Raises InputError if they do not belong together, no data set has lesions and the maps of two
    models, or maps are not what was written.
    """
    study = load_study(file)
    layout = Layout(study)
    if folder.resolve() != layout.folder.resolve():
        why = f"the study file writes to {layout.folder}"
        raise InputError(f"{folder} is not the folder of this study", why=why, do="name its study file with --study")
    grid, runs = grid_of(study, file), find_runs(layout)
    with atomic_folder(folder / FOLDER) as part:
        universes = rescore(layout, runs, grid, part)
        write_table(part / TABLE, table(universes), COLUMNS)
        pages.write(part, study.study, universes, grid, runs.missing)
    return pages.lines(universes, runs.missing, folder / FOLDER)
