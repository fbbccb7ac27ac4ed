"""Errors that a user can fix. Their message says what happened, in which file, why, and what to do."""

from __future__ import annotations

from pathlib import Path


class BrainuadError(Exception):
    """An error with a remedy. `what`: one sentence; `file`, `why` and `do` are optional."""

    code = 1
    """Exit code of the job."""

    def __init__(self, what: str, *, file: str | Path | None = None, why: str | None = None, do: str | None = None):
        super().__init__(what)
        self.what, self.file, self.why, self.do = what, file, why, do

    def __str__(self) -> str:
        rows = [("file", self.file), ("why", self.why), ("do", self.do)]
        return "\n".join([f"error: {self.what}", *(f"  {key:<5} {value}" for key, value in rows if value)])

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.what, self.file, self.why, self.do)


def _rebuild(
    error: type[BrainuadError], what: str, file: str | Path | None, why: str | None, do: str | None
) -> BrainuadError:
    return error(what, file=file, why=why, do=do)


class ConfigError(BrainuadError):
    """A study, recipe or model file has an invalid setting."""


class InputError(BrainuadError):
    """A scan, mask or table cannot be used as it is."""


class StorageError(InputError):
    """The file system refuses a write; the input is not at fault."""
