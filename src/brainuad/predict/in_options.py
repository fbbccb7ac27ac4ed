"""Sentences of the pipeline that name settings of a study, with options of `brainuad predict` in their place."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from brainuad.errors import InputError

WORDS = (
    (r"take it by `reading: \{complex: magnitude\}` of the data set", "take it by --magnitude"),
    (r"`reading: \{volume: (\d+)\}` (\(to \d+\)) of the data set", r"--volume \1 \2"),
    (r"`reading: \{volume: \.\.\.\}` of the data set", "--volume"),
    (
        r"`reading: \{intensity_offset: ([^}]+)\}` of the data set, in addition to one that is set already",
        r"--intensity-offset \1, in addition to one that you gave",
    ),
    (r"`reading: \{stripped: \.\.\.\}` of the data set states it", "--stripped or --with-skull states it"),
    (r"set `skullstrip: \{restrip: auto\}` in the recipe to take off", "give a brain mask with --mask, to take off"),
    (r"set skullstrip\.backend to auto( or \w+)?", "give a brain mask with --mask"),
    (r", or decide on it in the study's `decisions`", ""),
    (r"exclude the subject", "leave it out"),
    (r"fetch the data set", "fetch the scan"),
)
"""Patterns of what names a setting, and what stands in their place."""


def in_options(text: str) -> str:
    """A sentence without settings of a study."""
    for pattern, words in WORDS:
        text = re.sub(pattern, words, text)
    return text


@contextmanager
def told_in_options() -> Iterator[None]:
    """Errors that are raised inside name options, and no settings of a study."""
    try:
        yield
    except InputError as error:
        why, do = (text and in_options(text) for text in (error.why, error.do))
        raise type(error)(in_options(error.what), file=error.file, why=why, do=do) from error
