"""Errors of the processes that train on several devices, passed to the process that started them."""

from __future__ import annotations

import json
from multiprocessing.sharedctypes import RawArray
from pathlib import Path
from typing import Any

from lightning import Trainer

from brainuad.errors import BrainuadError, ConfigError, InputError, StorageError

CLASSES = {cls.__name__: cls for cls in (ConfigError, InputError, StorageError)}
BYTES = 64_000
"""Memory for the error of one process."""
LONGEST = 1_000
"""Characters of each part of an error: escaped ones take up to twelve bytes, and four parts must fit."""


class SharedErrors:
    """Known errors as text in memory that all processes of a training share, for the error may be that a disk is full.

    torch passes on no more than the traceback of a process.
    """

    def __init__(self, devices: int):
        self._texts = [RawArray("c", BYTES) for _ in range(devices)]

    def report(self, device: int, error: BrainuadError) -> None:
        """Store the error of a device's process."""
        parts = (error.what, error.file, error.why, error.do)
        shortened = [None if part is None else str(part)[:LONGEST] for part in parts]
        self._texts[device].value = json.dumps([type(error).__name__, *shortened]).encode()

    def first(self) -> BrainuadError | None:
        """The error of the first device that reported one."""
        text = next((text.value for text in self._texts if text.value), None)
        if text is None:
            return None
        name, what, file, why, do = json.loads(text)
        return CLASSES.get(name, InputError)(what, file=file and Path(file), why=why, do=do)


class ErrorReportingTrainer(Trainer):  # type: ignore[misc]
    """A trainer whose processes report their errors."""

    def __init__(self, errors: SharedErrors, **options: Any):
        self._errors = errors
        super().__init__(**options)

    def _run(self, *args: Any, **options: Any) -> Any:
        """Lightning's entry to the work of each process.

        The member is private, but nothing public sees these errors: `Callback.on_exception` and `Trainer.fit` run in
        the process that starts the others, and a callback's or data set's own hooks see their own errors alone.
        tests/train/test_devices.py fails if Lightning renames it.
        """
        try:
            return super()._run(*args, **options)
        except BrainuadError as error:
            self._errors.report(self.global_rank, error)
            raise
