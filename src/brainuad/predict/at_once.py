"""How many slices networks take at once: as many as in a study, fewer where the memory of a GPU does not suffice.

The number is a constant of `brainuad.methods`, which is set here in the modules that have it. As a setting it would be
part of the code that trainings depend on, and every study would train again for what changes the last digits at most.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

Made = TypeVar("Made")
NAME, PACKAGE = "SLICES_AT_ONCE", "brainuad.methods."
logger = logging.getLogger(__name__)


@contextmanager
def slices_at_once(number: int) -> Iterator[None]:
    """Inside, networks take this many slices at once."""
    before = {name: getattr(sys.modules[name], NAME) for name in _modules()}
    try:
        for name in before:
            setattr(sys.modules[name], NAME, number)
        yield
    finally:
        for name, value in before.items():
            setattr(sys.modules[name], NAME, value)


def of_a_study() -> int:
    """How many slices networks take in a study."""
    from brainuad.methods.shared.slices import SLICES_AT_ONCE  # late: it imports torch

    return SLICES_AT_ONCE


def in_parts(work: Callable[[], Made], number: int) -> tuple[Made, int]:
    """The result of `work` with at most `number` slices at once, halved while the GPU lacks memory; and the number.

    Raises torch.OutOfMemoryError if one slice is too many.
    """
    import torch

    while True:
        try:
            with slices_at_once(number):
                return work(), number
        except torch.OutOfMemoryError:
            if number == 1:
                raise
            torch.cuda.empty_cache()
            logger.warning("the GPU lacks memory for %d slices at once; %d from here on", number, number // 2)
            number //= 2


def _modules() -> list[str]:
    return [name for name, module in sys.modules.items() if name.startswith(PACKAGE) and hasattr(module, NAME)]
