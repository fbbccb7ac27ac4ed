"""Further sequences of a session: brought to the template's grid by way of the scan that is registered to it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Float

from brainuad.config.recipe import Preprocess
from brainuad.errors import BrainuadError, InputError
from brainuad.formats.handling import Handling
from brainuad.formats.raw import read_raw
from brainuad.formats.status import Numbers, SequenceStatus
from brainuad.formats.transform import Affine
from brainuad.formats.volume import Volume, same_grid
from brainuad.images.template import load
from brainuad.logs import OF_THE_DISK
from brainuad.preprocess.pipeline import REGISTRATION_SPACING_MM, PreprocessedScan, Told, apply_steps, examined_head
from brainuad.preprocess.quality.measure import measure_sequence
from brainuad.preprocess.registered_scan import resample_to_template
from brainuad.preprocess.registration.input import RegistrationInput, registration_input
from brainuad.preprocess.registration.shift_check import shift_ratio
from brainuad.preprocess.scan_files import ScanFiles

Image = Float[np.ndarray, "x y z"]
ABSENT = "there is none in its session"

HANDLED = (
    Handling(
        "file",
        "a sequence of a session that cannot be read, shows no head, or does not overlap with the first",
        "warned",
        "it counts as missing, with its reason; `missing` of the study says what becomes of the session",
    ),
    Handling(
        "file",
        "a sequence of a session with the voxels of another one",
        "warned",
        "it counts as missing, with its reason",
    ),
)
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PlacedSequence:
    """A sequence on the template's grid.

    `image`: float32, 0 outside the scan's brain mask; `transform`: template world to the sequence's world;
    `registered`: whether it was registered to the scan, else its header places it.
    """

    image: Image
    transform: Affine
    quality: Numbers
    registered: bool
    notes: list[str] = field(default_factory=list)


class Session:
    """A preprocessed scan, by which the other sequences of its session are placed."""

    def __init__(self, scan: PreprocessedScan, settings: Preprocess, aligned: bool = False):
        self.scan, self.settings, self.aligned = scan, settings, aligned
        self.template = load(settings.template, settings.spacing)
        self.coarse = load(settings.template, REGISTRATION_SPACING_MM)

    @cached_property
    def reference(self) -> RegistrationInput:
        """The scan as registration takes it."""
        registered = self.scan.registered
        return registration_input(registered.scan, registered.modality, self.scan.stripped, self.coarse)

    def place(self, volume: Volume, modality: str, stripped: bool | None = None) -> PlacedSequence:
        """A sequence on the template's grid. `stripped`: whether it is, if that is known.

        Raises InputError if no head is found in it, or if it does not overlap with the scan.
        """
        from brainuad.preprocess.registration.nmi_rigid import register_rigidly
        from brainuad.preprocess.registration.nmi_search import nmi_and_half_turn_ratio

        head = examined_head(volume, modality, Told(stripped))
        moving = registration_input(head.scan, modality, head.stripped, self.coarse)
        first = self.scan.registered
        by_header = self.aligned or same_grid(first.scan, head.scan)
        matrix = np.eye(4) if by_header else register_rigidly(self.reference, moving)
        transform = Affine(matrix @ first.transform.matrix)
        registered = resample_to_template(head.scan, transform, self.template, modality)
        brain, brain_in_scan = self.scan.brain, registered.to_scan(self.scan.brain)
        if not brain_in_scan.any():
            raise InputError("it does not overlap with the brain of the first sequence", do="look at its header")
        image = np.where(brain, apply_steps(registered, brain_in_scan, self.settings.steps), 0).astype(np.float32)
        on_template = matrix @ (self.scan.before_centring or first.transform).matrix
        nmi, half_turn_ratio = nmi_and_half_turn_ratio(moving, self.coarse, on_template)
        quality = {"nmi": nmi, "half_turn_ratio": half_turn_ratio, **measure_sequence(registered, brain, brain_in_scan)}
        if by_header:
            quality["shift_ratio"] = shift_ratio(self.reference, moving)
        return PlacedSequence(image, transform, quality, not by_header, head.notes)


def place_all(
    scan: ScanFiles, placed: PreprocessedScan, settings: Preprocess, content: str
) -> Iterator[tuple[str, PlacedSequence | None, SequenceStatus]]:
    """Each further sequence of a scan by modality, None where there is none to use, with its status.

    `content`: hash of the scan's own voxels. What is wrong with a sequence is its status; raises faults of the machine.
    """
    session, seen = Session(placed, settings, scan.aligned), {content: scan.modality}
    for modality, path in scan.sequences.items():
        if path is None:
            yield modality, None, SequenceStatus(reasons=[ABSENT])
            continue
        notes: list[str] = []
        try:
            result, voxels = _read_and_place(scan, modality, path, session, seen, notes)
            measured = {"quality": result.quality, "registered": result.registered, "content": voxels}
            yield modality, result, SequenceStatus(**measured, notes=notes)
        except InputError as error:
            reason = f"{error.what} ({error.why})" if error.why else error.what
            yield modality, None, SequenceStatus(reasons=[reason], notes=notes)
        except (BrainuadError, MemoryError):
            raise
        except Exception as error:  # an unforeseen fault of one sequence does not stop the others
            if isinstance(error, OSError) and error.errno in OF_THE_DISK:
                raise
            logger.warning("%s of %s fails by %s", modality, scan.name, type(error).__name__, exc_info=True)
            yield modality, None, SequenceStatus(reasons=[f"preprocessing ended in {type(error).__name__}"])


def _read_and_place(
    scan: ScanFiles, modality: str, path: Path, session: Session, seen: dict[str, str], notes: list[str]
) -> tuple[PlacedSequence, str]:
    """The sequence and the hash of its voxels.

    `seen`: modality of each sequence by the hash of its voxels; `notes`: takes what was converted or decided.
    """
    raw = read_raw(path, scan.reading)
    notes += raw.notes
    content = raw.content
    if (other := seen.setdefault(content, modality)) != modality:
        raise InputError(f"it has the voxels of the {other} of its session", file=path, do="give the right file")
    placed = session.place(raw.volume, modality, scan.reading.stripped)
    notes += placed.notes
    return placed, content
