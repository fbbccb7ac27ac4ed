"""What brainuad does with an input: rows of the table in docs/data.md, declared beside the code that does it.

A module lists its rows in a constant `HANDLED`; `brainuad.reference` collects those of all modules. Limits are written
as f-strings of the constants that the code compares with, so that the table cannot differ from the code.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Answer = Literal["accepted", "converted", "warned", "refused"]
"""`converted`: used after a change, with a note; `warned`: used, with a warning; `refused`: the scan fails, or the
study is not started, with a reason and a remedy."""
Topic = Literal["file", "header", "values", "head", "CT", "mask", "names", "tables", "study"]


@dataclass(frozen=True)
class Handling:
    """One kind of input."""

    topic: Topic
    case: str
    """The input, as a noun phrase, such as `voxel size in micrometres, by xyzt_units`."""
    answer: Answer
    how: str
    """What is done, or which reason and remedy are given, as a clause that a newcomer understands."""
