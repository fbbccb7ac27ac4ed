"""The follower beside a run of Snakemake, where the study asks for it (`track: {live: true}`).

It is a process of its own, which Snakemake starts and never waits for: nothing that happens in it, and no server that
is slow or away, can delay or end the run. It ends when the run ends, however that ends: the pipe that the two share is
then closed. Why so: docs/decisions/0054-live-runs.md.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread, Timer
from typing import IO

from brainuad import logs
from brainuad.resources import live

LOG = "logs/follow.log"
"""What it says, in the results folder of the study."""
NICE = 10
"""It lets the jobs of the run go first."""
LAST_SECONDS = 60.0
"""After the end of the run, for a last look."""
SECONDS = 5.0
"""Between two looks for the first training, before anything heavy is imported."""


class BesideRun:
    """The process beside a run, as Snakemake's main process knows it.

    `folder`: `results/<study>`; `uri`: of an MLflow server; `wanted`: whether there is to be such a process.
    """

    def __init__(self, folder: Path, uri: str | None, wanted: bool):
        self._folder, self._uri, self._wanted = folder.resolve(), uri, wanted
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; a fault is a sentence."""
        if not self._wanted:
            return
        log = self._folder / LOG
        try:
            log.parent.mkdir(parents=True, exist_ok=True)
            with log.open("wb") as file:
                command = [sys.executable, "-m", __name__]
                self._process = subprocess.Popen(
                    command, stdin=subprocess.PIPE, stdout=file, stderr=file, start_new_session=True
                )
            # By the pipe, since the address of a server may hold a password, which a list of processes would show.
            pipe = _pipe_to(self._process)
            pipe.write(json.dumps({"folder": str(self._folder), "uri": self._uri}).encode() + b"\n")
            pipe.flush()
        except OSError as error:
            self._process = None
            _warn(f"trainings are not shown in MLflow while they run: {error}")

    def stop(self) -> None:
        """Let it end, without waiting for it; say so if it had ended before."""
        if self._process is None:
            return
        ended = self._process.poll()
        with suppress(OSError):
            _pipe_to(self._process).close()
        self._process = None
        if ended is not None:
            log = self._folder / LOG
            _warn(f"trainings were not shown in MLflow to the end: the follower ended with {ended}, see {log}")


def main(pipe: IO[bytes]) -> None:
    """Follow the study that the first line of the pipe names, until the pipe ends."""
    asked = json.loads(pipe.readline())
    logs.configure_terminal()
    os.nice(NICE)
    folder, over = Path(asked["folder"]), Event()
    Thread(target=_wait, args=(pipe, over), daemon=True).start()
    while not any(folder.glob(f"train/*/seed-*/{live.NAME}")):
        if over.wait(SECONDS):
            return
    follow(folder, asked["uri"], over)


def follow(folder: Path, uri: str | None, over: Event) -> None:
    """Look until the run is over, and once more then."""
    from brainuad.track.experiment import Destination
    from brainuad.track.follower import Follower

    follower = Follower(lambda _: Destination(folder.parent / "mlflow", uri))
    follower.follow(lambda: [folder], over)
    follower.look(folder)


def _wait(pipe: IO[bytes], over: Event) -> None:
    pipe.read()
    over.set()
    last = Timer(LAST_SECONDS, os._exit, (0,))
    last.daemon = True
    last.start()


def _pipe_to(process: subprocess.Popen[bytes]) -> IO[bytes]:
    assert process.stdin is not None  # it was asked for
    return process.stdin


def _warn(words: str) -> None:
    sys.stderr.write(f"warning: {words}\n")


if __name__ == "__main__":
    main(sys.stdin.buffer)
