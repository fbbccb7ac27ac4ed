"""Where a scan's grid and a network's square or cube meet without resizing: padded or cropped around the centre."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from brainuad.errors import InputError
from brainuad.formats.handling import Handling
from brainuad.methods.base import Brain, TrainingScans

MOST_CUT = 0.01
"""Share of the training brains that cropping may cut off; a larger one would be missed in every scan."""
Part = tuple[slice, ...]
HANDLED = (
    Handling(
        "study",
        f"`network.fit: pad` with an input that cuts off more than {MOST_CUT:.0%} of the training brains",
        "refused",
        "training stops before its first step with the share that is cut off; of a single scan that reaches beyond the "
        "input, what lies outside is not marked, with a warning",
    ),
)
logger = logging.getLogger("brainuad.methods")


def centred(shape: Sequence[int], size: int) -> tuple[Part, Part]:
    """The part of the grid that a network of this size sees, and its place in the network's input."""
    part, place = [], []
    for length in shape:
        seen = min(length, size)
        part.append(slice((length - seen) // 2, (length - seen) // 2 + seen))
        place.append(slice((size - seen) // 2, (size - seen) // 2 + seen))
    return tuple(part), tuple(place)


def cut_off(brain: Brain, size: int, dims: int) -> int:
    """Voxels of the brain outside of what the network sees along the first `dims` axes."""
    part, _ = centred(brain.shape[:dims], size)
    return int(brain.sum() - brain[part].sum())


def require_seen(scans: TrainingScans, size: int, dims: int) -> None:
    """Raises InputError if cropping cuts off more than `MOST_CUT` of the training brains."""
    cut = sum(cut_off(brain, size, dims) for brain in scans.brains)
    total = sum(int(brain.sum()) for brain in scans.brains)
    if cut > MOST_CUT * total:
        shape = " x ".join(str(length) for length in scans.brains[0].shape[:dims])
        raise InputError(
            "the network's input is smaller than the brain",
            why=f"network.size {size} with fit: pad cuts {cut / total:.0%} off brains on a grid of {shape}",
            do="set network.fit: resize, a larger network.size, or normalize.shape in the recipe",
        )


def note_unseen(brain: Brain, size: int, dims: int) -> None:
    """Warn of a brain that reaches beyond the network's input; nothing is marked there."""
    if cut := cut_off(brain, size, dims):
        logger.warning("%d of %d brain voxels lie outside of the network's input and get the value 0", cut, brain.sum())
