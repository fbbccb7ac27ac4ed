"""The done file of a preprocess job: which scans are done, and from what each was made.

It is the only output of the job that Snakemake knows, because Snakemake deletes declared outputs when a job starts
again (docs/decisions/0015-marker-files-for-preprocessed-scans.md). The done file of a job for one scan lies in the
scan's folder; those of batches lie in a folder of their own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from brainuad.errors import InputError
from brainuad.formats.files import read_json, write_json

BATCHES = "batches"
"""Folder of the done files of batches, beside the scans' folders."""
NAME = "done.json"
"""Done file of one scan, in the scan's folder."""


def write(path: str | Path, digests: Mapping[str, str]) -> None:
    """Write a done file. `digests`: by scan, of what its folder was made from."""
    write_json(path, {"scans": digests})


def read(paths: Iterable[str | Path]) -> list[str]:
    """The scans that these done files name; raises InputError for a broken or foreign file."""
    scans = []
    for path in paths:
        content = read_json(path)
        if not isinstance(content, dict) or not isinstance(content.get("scans"), dict):
            do = "delete it and run the same command again"
            raise InputError(f"{Path(path).name} names no scans", file=path, do=do)
        scans += list(content["scans"])
    return scans
