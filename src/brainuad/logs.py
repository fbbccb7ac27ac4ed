"""Logging: each job writes to its own log file, and warnings reach the terminal too.

Modules log with `logging.getLogger(__name__)`. `BRAINUAD_LOG` (DEBUG, INFO, WARNING, ERROR) sets what the terminal
shows; the default is WARNING. Nothing here can change a number, so it is no part of any job's code hash.
"""

from __future__ import annotations

import errno
import logging
import os
import sys
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from brainuad.errors import BrainuadError, ConfigError, StorageError

VARIABLE = "BRAINUAD_LOG"
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
FILE_FORMAT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"
TERMINAL_FORMAT = "%(levelname_lower)s: %(message)s"
OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.ESTALE)
"""Told in a sentence wherever they occur: no space, no quota, read-only, a disk that does not answer."""
logger = logging.getLogger(__name__)


class _TerminalFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        record.levelname_lower = record.levelname.lower()
        return super().format(record)


class _LogFile(logging.FileHandler):
    """A log file on a disk that may be full: the terminal hears of it once, and the job goes on."""

    _refused = False

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging names it
        error = sys.exc_info()[1]
        if isinstance(error, OSError):
            self._note(error)
        else:
            super().handleError(record)

    def close(self) -> None:
        try:
            super().close()
        except OSError as error:
            self._note(error)

    def _note(self, error: OSError) -> None:
        if not self._refused:
            sys.stderr.write(f"warning: the log {self.baseFilename} is not complete: {error.strerror}\n")
        self._refused = True


def configure_terminal(level: str | None = None) -> None:
    """Send log records of this level and above to standard error; `BRAINUAD_LOG`, else WARNING, where it is None.

    Raises ConfigError for an unknown level.
    """
    wanted = (level or os.environ.get(VARIABLE) or "WARNING").upper()
    if wanted not in LEVELS:
        raise ConfigError(f"{VARIABLE} is {wanted}", why="there is no such level", do="take " + ", ".join(LEVELS))
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_TerminalFormatter(TERMINAL_FORMAT))
    handler.setLevel(wanted)
    handler.set_name("terminal")
    root = logging.getLogger("brainuad")
    for old in [each for each in root.handlers if each.get_name() == "terminal"]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    root.propagate = False


@contextmanager
def job_log(path: str | Path) -> Iterator[None]:
    """Run a job with its log file; warnings of Python and of brainuad go to the file and to the terminal.

    A known fault ends the job with its own message, an unknown one with a traceback; both stand in the log and on the
    terminal, and the process exits with the fault's code.
    """
    configure_terminal()
    handler = _opened(path)
    handler.setFormatter(logging.Formatter(FILE_FORMAT))
    handler.setLevel(logging.DEBUG if os.environ.get(VARIABLE, "").upper() == "DEBUG" else logging.INFO)
    root, python_warnings = logging.getLogger("brainuad"), logging.getLogger("py.warnings")
    logging.captureWarnings(True)
    terminals = [each for each in root.handlers if each.get_name() == "terminal"]
    for each in (root, python_warnings):
        each.addHandler(handler)
    for terminal in terminals:
        python_warnings.addHandler(terminal)
    try:
        yield
    except BrainuadError as error:
        _end(str(error), handler)
        raise SystemExit(error.code) from None
    except OSError as error:
        if error.errno not in OF_THE_DISK:
            _end(traceback.format_exc(), handler)
            raise SystemExit(1) from None
        _end(str(_storage_error("the disk failed", error.filename, error)), handler)
        raise SystemExit(StorageError.code) from None
    except Exception:
        _end(traceback.format_exc(), handler)
        raise SystemExit(1) from None
    finally:
        for each in (root, python_warnings):
            each.removeHandler(handler)
        for terminal in terminals:
            python_warnings.removeHandler(terminal)
        logging.captureWarnings(False)
        handler.close()


def _opened(path: str | Path) -> logging.FileHandler:
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        return _LogFile(path, mode="a", encoding="utf-8")
    except OSError as error:
        sys.stderr.write(f"{_storage_error('cannot write the log', path, error)}\n")
        raise SystemExit(StorageError.code) from None


def of_the_disk(error: OSError) -> StorageError:
    """The error for a fault of a disk; one without a file's name is of a file in the folder for temporary ones."""
    if error.filename:
        return _storage_error("the disk failed", error.filename, error)
    do = "free space there, or name another folder for temporary files by the environment variable TMPDIR"
    return StorageError("a temporary file cannot be written", file=tempfile.gettempdir(), why=error.strerror, do=do)


def _storage_error(what: str, file: str | Path | None, error: OSError) -> StorageError:
    do = "free space or correct the permissions of that folder, then run the same command again"
    return StorageError(what, file=file, why=error.strerror, do=do)


def _end(message: str, handler: logging.FileHandler) -> None:
    """The message as it is, without time and level, in the log and on the terminal."""
    if handler.stream is not None:
        handler.stream.write(f"{message}\n")  # written to the disk when the handler is closed
    sys.stderr.write(f"{message}\n")
