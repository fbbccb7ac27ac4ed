"""What a user did wrong or what a file lacks: what happened, which file, why, and what to do."""

from __future__ import annotations

from pathlib import Path


class BrainuadError(Exception):
    """A fault with a remedy. `what` is one sentence; `file`, `why` and `do` are optional."""

    code = 1
    """Exit status of a job that it ends."""

    def __init__(self, what: str, *, file: str | Path | None = None, why: str | None = None, do: str | None = None):
        super().__init__(what)
        self.what, self.file, self.why, self.do = what, file, why, do

    def __str__(self) -> str:
        rows = [("file", self.file), ("why", self.why), ("do", self.do)]
        return "\n".join([f"error: {self.what}", *(f"  {key:<5} {value}" for key, value in rows if value)])

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.what, self.file, self.why, self.do)


def _rebuild(
    kind: type[BrainuadError], what: str, file: str | Path | None, why: str | None, do: str | None
) -> BrainuadError:
    return kind(what, file=file, why=why, do=do)


class ConfigError(BrainuadError):
    """A study, recipe or model file asks for something that does not exist or does not fit."""


class InputError(BrainuadError):
    """A scan, mask or table cannot be used as it is."""


class StorageError(InputError):
    """A file system refuses a write: nothing is wrong with the scan."""
