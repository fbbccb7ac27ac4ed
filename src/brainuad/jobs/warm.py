"""Local jobs start warm: each is a fork of a process that has imported what jobs need.

A job is a process of its own, and to import numpy, torch and the rest takes it up to 5 CPU s, more than many jobs
work. So the main process of a local run starts another one, which imports them once. A job's script hands its job to
it, with its files, folder and environment, and waits: what it prints, its signals and its exit status are those of the
fork. Where there is no such process, the job runs in its script. Why so: docs/decisions/0063-warm-starts.md.
"""

from __future__ import annotations

import importlib
import json
import os
import pickle
import pkgutil
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

VARIABLE = "BRAINUAD_WARM"
"""Names the folder of the sockets, one for each number of threads, for libraries read that as they are loaded. A user
may set it to `off`."""
OFF = "off"
PRELOADED = (
    "snakemake.script",
    "brainuad.jobs.run",
    "brainuad.preprocess.scan",
    "brainuad.normalize.caching",
    "brainuad.train.training",
    "brainuad.infer.inference",
    "brainuad.postprocess.find_thresholds",
    "brainuad.evaluate.evaluation",
)
THREAD_VARIABLES = ("OMP", "GOTO", "OPENBLAS", "MKL", "VECLIB", "NUMEXPR")
"""As Snakemake sets them for a job: `<name>_NUM_THREADS`."""
FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP)
LENGTH, STATUS = struct.Struct("!Q"), struct.Struct("!i")


class WarmStarts:
    """The processes that jobs are forked from, one for each number of threads; they import when the first job comes."""

    def __init__(self) -> None:
        self._folder: Path | None = None
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self, threads: Iterable[int]) -> None:
        """Start them, on Linux alone: elsewhere a fork of a process with libraries loaded is not safe."""
        if not sys.platform.startswith("linux") or os.environ.get(VARIABLE) == OFF:
            return
        self._folder = Path(tempfile.mkdtemp(prefix="brainuad-"))  # nobody else may enter it
        try:
            self._processes = [self._started(count) for count in {*threads}]
        except OSError:  # such as a path that is too long for a socket
            self.stop()
            return
        os.environ[VARIABLE] = str(self._folder)

    def _started(self, threads: int) -> subprocess.Popen[bytes]:
        counts = {f"{name}_NUM_THREADS": str(threads) for name in THREAD_VARIABLES}
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(f"{self._folder}/{threads}")
            listener.listen(64)
            number = listener.fileno()
            command = [sys.executable, "-m", "brainuad.jobs.warm", str(number), str(self._folder)]
            # In a group of its own: Ctrl-C reaches a job by its script alone.
            return subprocess.Popen(
                command, stdin=subprocess.PIPE, env=os.environ | counts, pass_fds=[number], process_group=0
            )

    def stop(self) -> None:
        """End them. They end by themselves, too, if this process does."""
        for process in self._processes:
            if process.stdin is not None:
                process.stdin.close()
        for process in self._processes:
            process.wait()
        if self._folder is not None:
            if os.environ.get(VARIABLE) == str(self._folder):
                del os.environ[VARIABLE]
            shutil.rmtree(self._folder, ignore_errors=True)
        self._folder, self._processes = None, []


def run_warm(job: Any, work: str = "brainuad.jobs.run:run_from_snakemake") -> bool:
    """Have a job run in a fork; False, without having done anything, where it has to run in this process.

    `job`: the `snakemake` object of a script; `work`: what the fork calls with it. Ends this process as the fork ended,
    if that failed.
    """
    connection = _connected(job)
    if connection is None:
        return False
    umask = os.umask(0)
    os.umask(umask)
    request = pickle.dumps((work, pickle.dumps(job), str(Path.cwd()), dict(os.environ), list(sys.path), umask))
    with connection:
        try:
            socket.send_fds(connection, [LENGTH.pack(len(request))], [0, 1, 2])
            connection.sendall(request)
            taken = connection.recv(1)
        except OSError:
            taken = b""
        if not taken:  # the process could not import what it should, or is gone
            return False
        for number in FORWARDED:
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, lambda sent, _: connection.sendall(bytes([sent])))
        answer = connection.recv(STATUS.size)
    if len(answer) < STATUS.size:
        sys.exit("error: the process that the job ran in has disappeared; start the run again")
    code = os.waitstatus_to_exitcode(STATUS.unpack(answer)[0])
    if code < 0:
        if -code != signal.SIGKILL:
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    if code:
        sys.exit(code)
    return True


def _connected(job: Any) -> socket.socket | None:
    place = os.environ.get(VARIABLE)
    # the processes of a training on several GPUs start the script again, in which there is no fork
    if place in (None, "", OFF) or json.loads(job.params.untracked).get("devices", 1) != 1:
        return None
    connection = socket.socket(socket.AF_UNIX)
    with suppress(OSError):
        connection.connect(f"{place}/{job.threads}")
        return connection
    connection.close()
    return None


def serve(number: int, folder: str) -> None:
    """Fork a process for each job that comes by the socket with this file descriptor, until standard input is closed.

    Removes `folder`, that of the sockets, then. Returns in the process of a job, too, when that is done.
    """
    with socket.socket(fileno=number) as listener:
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the keepers
        while True:
            ready, _, _ = select.select([listener.fileno(), 0], [], [])
            if 0 in ready:
                shutil.rmtree(folder, ignore_errors=True)
                return
            connection, _ = listener.accept()
            for name in PRELOADED:
                importlib.import_module(name)
            if os.fork() == 0:
                listener.close()
                _keep(connection)
                return
            connection.close()


def _keep(connection: socket.socket) -> None:
    """Fork a job, hand it the signals of its script, and tell the script how it ended; returns in the job alone."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    header, descriptors, _, _ = socket.recv_fds(connection, LENGTH.size, 3)
    if len(header) < LENGTH.size:  # its script is gone
        os._exit(1)
    left, parts = LENGTH.unpack(header)[0], []
    while left and (part := connection.recv(left)):
        parts.append(part)
        left -= len(part)
    if left:
        os._exit(1)
    connection.sendall(b"!")
    process = os.fork()
    if process == 0:
        connection.close()
        _run(b"".join(parts), descriptors)
        return
    for descriptor in descriptors:
        os.close(descriptor)
    ended = os.pidfd_open(process)
    while True:
        ready, _, _ = select.select([connection.fileno(), ended], [], [])
        if ended in ready:
            status = os.waitpid(process, 0)[1]
            with suppress(OSError):
                connection.sendall(STATUS.pack(status))
            os._exit(0)
        with suppress(ProcessLookupError, ConnectionError):
            numbers = connection.recv(16)
            for number in numbers or [signal.SIGKILL]:  # a script that was killed takes its job with it
                os.kill(process, number)
            if not numbers:
                os._exit(1)


def _run(request: bytes, descriptors: list[int]) -> None:
    """Run a job in this process, as its script would."""
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)
    work, job, folder, environment, path, umask = pickle.loads(request)  # noqa: S301 - of a process of the same user
    os.chdir(folder)
    os.umask(umask)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:] = path
    for number in FORWARDED:
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    pkgutil.resolve_name(work)(pickle.loads(job))  # noqa: S301


if __name__ == "__main__":
    serve(int(sys.argv[1]), sys.argv[2])
