"""How a process that trains on one of several devices tells the one that started it what went wrong."""

from __future__ import annotations

import json
from multiprocessing.sharedctypes import RawArray
from pathlib import Path
from typing import Any

from lightning import Trainer

from brainuad.errors import BrainuadError, ConfigError, InputError, StorageError

KINDS = {kind.__name__: kind for kind in (ConfigError, InputError, StorageError)}
ROOM = 64_000
"""Bytes for the fault of one process."""
LONGEST = 1_000
"""Characters of each of its parts: escaped ones take up to twelve bytes, and four parts must fit."""


class Faults:
    """Known faults as text, in memory that all processes of a training share: the fault may be that a disk is full.

    torch hands on no more than the traceback of a process.
    """

    def __init__(self, devices: int):
        self._texts = [RawArray("c", ROOM) for _ in range(devices)]

    def tell(self, device: int, error: BrainuadError) -> None:
        """Leave a fault for the process that waits."""
        parts = (error.what, error.file, error.why, error.do)
        cut = [None if part is None else str(part)[:LONGEST] for part in parts]
        self._texts[device].value = json.dumps([type(error).__name__, *cut]).encode()

    def first(self) -> BrainuadError | None:
        """The fault of the first device that told one."""
        told = next((text.value for text in self._texts if text.value), None)
        if told is None:
            return None
        kind, what, file, why, do = json.loads(told)
        return KINDS.get(kind, InputError)(what, file=file and Path(file), why=why, do=do)


class TellingTrainer(Trainer):  # type: ignore[misc]
    """A trainer whose processes tell their faults."""

    def __init__(self, faults: Faults, **options: Any):
        self._faults = faults
        super().__init__(**options)

    def _run(self, *args: Any, **options: Any) -> Any:
        """Lightning's entry to the work of each process; no callback hears of its faults."""
        try:
            return super()._run(*args, **options)
        except BrainuadError as error:
            self._faults.tell(self.global_rank, error)
            raise
