"""Jobs that are forks of a process with everything imported: to the outside they are their scripts."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from brainuad.jobs.warm import OFF, VARIABLE, WarmStarts

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="jobs are forked on Linux alone")
THINGS = """
import os, signal, sys, time
from pathlib import Path
from types import SimpleNamespace

class Job:
    def __init__(self, does, threads=1, devices=1):
        self.does, self.threads = does, threads
        self.params = SimpleNamespace(untracked='{"devices": %d}' % devices)

def work(job):
    loaded = "torch" in sys.modules
    print(Path.cwd().name, os.environ["MARK"], os.environ["OMP_NUM_THREADS"], "warm" if loaded else "cold", flush=True)
    print("on the way", file=sys.stderr)
    Path("pid").write_text(str(os.getpid()))
    if job.does == "exits":
        raise SystemExit(3)
    if job.does == "breaks":
        raise ValueError("a fault")
    if job.does == "is killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if job.does == "waits":
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
        Path("waits").touch()
        time.sleep(120)
"""
SCRIPT = """
import sys
from things import Job, work
from brainuad.jobs.warm import run_warm

job = Job(sys.argv[1], *map(int, sys.argv[2:]))
if not run_warm(job, "things:work"):
    work(job)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Of the script and what its job needs; while it is there, so are the processes."""
    place, started = tmp_path_factory.mktemp("warm"), WarmStarts()
    (place / "things.py").write_text(THINGS)
    (place / "script.py").write_text(SCRIPT)
    started.start([1])
    yield place
    started.stop()
    assert VARIABLE not in os.environ


def begun(folder: Path, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    for name in ("pid", "waits"):
        (folder / name).unlink(missing_ok=True)
    command = [sys.executable, str(folder / "script.py"), *arguments]
    env = os.environ | {"MARK": "mine", "OMP_NUM_THREADS": "1"} | environment
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, cwd=folder, env=env, text=True, **pipes)  # type: ignore[call-overload]


def ended(folder: Path, *arguments: str, **environment: str) -> tuple[int, str, str]:
    script = begun(folder, *arguments, **environment)
    out, err = script.communicate(timeout=120)
    return script.returncode, out, err


def gone(process_id: int) -> bool:
    for _ in range(200):
        if not Path(f"/proc/{process_id}").exists():
            return True
        time.sleep(0.1)
    return False


def waiting(folder: Path) -> tuple[subprocess.Popen[str], int]:
    script = begun(folder, "waits")
    while not (folder / "waits").exists():
        assert script.poll() is None
        time.sleep(0.1)
    return script, int((folder / "pid").read_text())


def test_a_job_has_the_folder_the_environment_and_the_output_of_its_script(folder: Path) -> None:
    code, out, err = ended(folder, "works", MARK="another")
    assert (code, out, err) == (0, f"{folder.name} another 1 warm\n", "on the way\n")


@pytest.mark.parametrize(
    ("does", "code", "says"), [("exits", 3, ""), ("breaks", 1, "ValueError: a fault"), ("is killed", -9, "")]
)
def test_a_script_ends_as_its_job_did(folder: Path, does: str, code: int, says: str) -> None:
    found, _, err = ended(folder, does)
    assert found == code
    assert says in err


def test_a_job_gets_the_signals_of_its_script(folder: Path) -> None:
    script, job = waiting(folder)
    script.send_signal(signal.SIGTERM)
    assert script.wait(60) == 7
    assert gone(job)


def test_a_job_does_not_outlive_its_script(folder: Path) -> None:
    script, job = waiting(folder)
    script.kill()
    script.wait()
    assert gone(job)


@pytest.mark.parametrize(
    ("arguments", "environment"),
    [
        (("works", "2"), {}),
        (("works", "1", "2"), {}),
        (("works",), {VARIABLE: OFF}),
        (("works",), {VARIABLE: "/nowhere"}),
    ],
    ids=["other threads", "several GPUs", "switched off", "the process is gone"],
)
def test_otherwise_a_job_runs_in_its_script(
    folder: Path, arguments: tuple[str, ...], environment: dict[str, str]
) -> None:
    code, out, _ = ended(folder, *arguments, **environment)
    assert code == 0
    assert out.endswith("cold\n")


def test_a_job_that_nobody_takes_runs_in_its_script(folder: Path, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "1"))
        listener.listen()
        script = begun(folder, "works", **{VARIABLE: str(tmp_path)})
        listener.accept()[0].close()
        out, _ = script.communicate(timeout=120)
    assert script.returncode == 0
    assert out.endswith("cold\n")


def test_the_processes_end_with_the_run_that_started_them(tmp_path: Path) -> None:
    text = "import os, time\nfrom brainuad.jobs.warm import WarmStarts\nwarm = WarmStarts()\nwarm.start([1, 2])\n"
    text += "print(*(each.pid for each in warm._processes), flush=True)\ntime.sleep(60)\n"
    env = os.environ | {"TMPDIR": str(tmp_path)}
    run = subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE, text=True, env=env)
    assert run.stdout is not None
    started = [int(each) for each in run.stdout.readline().split()]
    run.kill()
    run.wait()
    assert len(started) == 2
    assert all(map(gone, started))
    assert not [*tmp_path.iterdir()]


def test_where_a_socket_cannot_be_made_there_are_no_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = tmp_path / ("x" * 100)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    monkeypatch.delenv(VARIABLE, raising=False)
    started = WarmStarts()
    started.start([1])
    assert VARIABLE not in os.environ
    assert not [*long.iterdir()]
    started.stop()
