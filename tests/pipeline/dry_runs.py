"""Many dry runs of Snakemake from one process, which loads what a run needs and reads the package's code once.

usage: dry_runs.py COMMANDS.json, a list of Snakemake's arguments for each run. Writes [exit code, output] of each, as
JSON, to standard output.
Each run is a fork, so that no run sees what another one did. A lock that another thread holds at that moment stays
locked in the fork for ever, so the process that forks has one thread. A fork that hangs all the same is ended, and its
run is done in a process of its own.
"""

# ruff: noqa: E402  # threads are kept out before the last imports
from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import traceback
from contextlib import suppress
from pathlib import Path

# before the next imports: threads that libraries would start
os.environ["OPENBLAS_NUM_THREADS"] = "1"
sys.modules["pyarrow"] = None  # type: ignore[assignment]  # pandas does without; its memory allocator has a thread

import snakemake.cli

import brainuad.plan  # noqa: F401  # loaded before the forks
from brainuad.code_hash import code_hash
from brainuad.jobs.registry import STAGE_OF, job_class, job_module

AT_ONCE = 2
MODULES = ".modules"
"""End of the name of the file that lists the modules of a run."""
FAMILIES = ("zscore_atlas", "thresh_histeq", "autoencoder")
"""Of the models of the shrunken study."""
LONGEST_S = 60
"""A dry run takes a second; a fork that takes this long hangs."""


def dry_runs(commands: list[list[str]], folder: Path) -> list[tuple[int, str]]:
    """`folder`: for the output of each run."""
    codes: dict[int, int] = {}
    running: dict[int, int] = {}
    for number, arguments in enumerate(commands):
        if number == 1:
            _wait(running, codes)
            _load(folder / f"0{MODULES}")
        if len(running) == AT_ONCE:
            _wait(running, codes)
        child = os.fork()
        if child == 0:
            _run(arguments, folder / f"{number}")
        running[child] = number
    while running:
        _wait(running, codes)
    return [
        _alone(commands[number]) if codes[number] == -signal.SIGALRM else (codes[number], file.read_text())
        for number, file in ((number, folder / f"{number}") for number in range(len(commands)))
    ]


def _load(file: Path) -> None:
    """Import the modules that the first run imported, so that the next ones need not."""
    for name in file.read_text().split() if file.exists() else ():
        with suppress(ImportError):  # some are made in memory
            importlib.import_module(name)


def _alone(arguments: list[str]) -> tuple[int, str]:
    done = subprocess.run([sys.executable, "-m", "snakemake", *arguments], capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def _wait(running: dict[int, int], codes: dict[int, int]) -> None:
    """Until one of the runs has ended."""
    child, status = os.wait()
    codes[running.pop(child)] = os.waitstatus_to_exitcode(status)


def _run(arguments: list[str], file: Path) -> None:
    code = 1
    try:
        output = os.open(file, os.O_WRONLY | os.O_CREAT)
        os.dup2(output, 1)
        os.dup2(output, 2)
        signal.alarm(LONGEST_S)
        snakemake.cli.main(arguments)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(bool(end.code))
    except BaseException:
        traceback.print_exc()
    finally:
        file.with_name(file.name + MODULES).write_text("\n".join(sys.modules))
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    snakemake.cli.get_argument_parser()  # finds the plugins, once for all runs
    for rule in STAGE_OF:
        job = f"{job_module(rule)}:{job_class(rule).__name__}"
        code_hash(job)
        for family in FAMILIES if rule in ("train", "infer") else ():
            code_hash(job, f"brainuad.methods.{family}")
    with tempfile.TemporaryDirectory() as outputs:
        ended = dry_runs(json.loads(Path(sys.argv[1]).read_text()), Path(outputs))
    sys.stdout.write(json.dumps(ended))
