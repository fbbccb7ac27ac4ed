"""Overhead of Slurm, measured on a running cluster, from the root of a clone. Prints Markdown tables.

eval "$(SLURM_MINJOBAGE=36000 tests/cluster/up.sh /tmp/slurm)"; export OMP_NUM_THREADS=1
python benchmarks/cluster.py overhead            # the shrunken study under Slurm and without it
python benchmarks/cluster.py login               # CPU and memory of Snakemake while 100 jobs wait
python benchmarks/cluster.py losses 1000         # a large study in which 1 % of the jobs are killed
tests/cluster/down.sh --purge /tmp/slurm
"""

from __future__ import annotations

import argparse
import os
import random
import re
import subprocess
import sys
import tempfile
import threading
import time
from copy import deepcopy
from pathlib import Path

import pandas as pd

sys.path.insert(0, "tests/cluster/scenarios")
from onenode import ENDED, Slurm, wait_for
from study import STUDY, TABLES, Workspace

TICK = os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Run one of the measurements."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="where the studies run; a temporary folder if none")
    commands = parser.add_subparsers(required=True)
    overhead = commands.add_parser("overhead")
    overhead.add_argument("--usual", action="store_true", help="check status as rarely as the profile does")
    overhead.set_defaults(run=lambda folder, given: measure_overhead(folder, given.usual))
    login = commands.add_parser("login")
    login.add_argument("--jobs", type=int, default=100)
    login.add_argument("--minutes", type=float, default=5)
    login.set_defaults(run=lambda folder, given: measure_login(folder, given.jobs, given.minutes))
    losses = commands.add_parser("losses")
    losses.add_argument("subjects", type=int)
    losses.add_argument("--batch", type=int, default=5, help="scans of one preprocess job")
    losses.add_argument("--share", type=float, default=0.01, help="share of jobs to kill")
    losses.add_argument("--compare", action="store_true", help="run the study without Slurm too, and compare tables")
    losses.set_defaults(run=lambda folder, given: measure_losses(folder, given))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as own:
        given.run((given.folder or Path(own)).resolve(), given)


def measure_overhead(folder: Path, usual: bool) -> None:
    """Wall time of the whole shrunken study, here and under Slurm."""
    seconds = {}
    for slurm in (False, True):
        study = workspace(folder / ("slurm" if slurm else "local"), deepcopy(STUDY))
        if usual:
            study.quick = ()
        started = time.perf_counter()
        study.run(slurm=slurm, seconds=7200)
        seconds[slurm] = time.perf_counter() - started
    jobs = len(Slurm().jobs(study.folder))
    print("| seconds without Slurm | under Slurm | Slurm jobs | extra seconds per job |\n| --- | --- | --- | --- |")
    print(f"| {seconds[False]:.0f} | {seconds[True]:.0f} | {jobs} | {(seconds[True] - seconds[False]) / jobs:.1f} |")


def measure_login(folder: Path, jobs: int, minutes: float) -> None:
    """CPU time, memory and queries to the controller of a Snakemake whose jobs all wait."""
    content = deepcopy(STUDY)
    content["datasets"]["healthy"]["subjects"] = jobs - 1
    content["compute"]["scans_per_job"] = 1
    study, slurm = workspace(folder / "login", content), Slurm()
    study.run("download", slurm=False, seconds=7200)
    study.quick = ()  # as the profile says
    blocker = slurm.submit("sleep 100000", "--exclusive", folder=folder)
    try:
        run = study.start("preprocess_all", "--jobs", str(jobs))
        wait_for("jobs that wait", lambda: len(slurm.active(study.folder)) >= jobs, 600)
        time.sleep(30)
        before, queries_before, started = cpu_seconds(run.pid), query_count(), time.perf_counter()
        time.sleep(60 * minutes)
        took = (time.perf_counter() - started) / 60
        cpu, polls = cpu_seconds(run.pid) - before, query_count() - queries_before
        memory = int(re.findall(r"VmHWM:\s+(\d+)", Path(f"/proc/{run.pid}/status").read_text())[0]) / 1024
    finally:
        study.kill()
        slurm.cancel(*slurm.active(study.folder))
        subprocess.run(["scancel", blocker], check=True)
    print("| waiting jobs | CPU seconds per minute | peak memory, MB | queries to Slurm per minute |")
    print("| --- | --- | --- | --- |")
    print(f"| {jobs} | {cpu / took:.2f} | {memory:.0f} | {polls / took:.1f} |")


def measure_losses(folder: Path, given: argparse.Namespace) -> None:
    """A whole study of many small scans in which jobs are cancelled at random; checks that no scan is lost."""
    content = deepcopy(STUDY)
    patients = max(1, given.subjects // 10)
    content["datasets"]["healthy"]["subjects"] = given.subjects - patients
    content["datasets"]["patients"]["subjects"] = patients
    content["compute"]["scans_per_job"] = given.batch
    study, slurm = workspace(folder / "losses", content), Slurm()
    run, started = study.start(), time.perf_counter()
    done = threading.Event()
    peak = [0.0]
    watcher = threading.Thread(target=watch_disk, args=(study.folder, done, peak))
    watcher.start()
    generator, seen, killed = random.Random(0), set[str](), list[str]()
    while run.poll() is None:
        for job in slurm.jobs(study.folder):
            if job.number in seen or job.state != "RUNNING":
                continue
            seen.add(job.number)
            if generator.random() < given.share:
                time.sleep(10 * generator.random())
                slurm.cancel(job)
                killed.append(job.comment)
        time.sleep(2)
    seconds = time.perf_counter() - started
    done.set()
    watcher.join()
    study.finish()
    jobs = slurm.jobs(study.folder)
    cut = [job for job in jobs if job.state in ENDED and job.state != "COMPLETED"]
    usable = pd.read_csv(study.study / "subjects.tsv", sep="\t")
    tested = set(usable.loc[usable["role"] == "test", "scan"])
    scored = set(pd.read_csv(study.study / "evaluate/scans.tsv", sep="\t")["scan"])
    failures = pd.read_csv(study.study / "failures.tsv", sep="\t")
    excluded = (failures["state"] != "warned").sum()
    listed = len(list((study.results / "preprocess").glob("*/*/sub-*/status.json")))
    assert listed == given.subjects, f"{given.subjects - listed} scans are lost"
    assert tested <= scored, f"no score of {sorted(tested - scored)}"
    if given.compare:
        here = workspace(folder / "here", content)
        here.run(slurm=False, seconds=36000)
        for name in TABLES:
            path = f"evaluate/{name}.tsv"
            assert (here.study / path).read_bytes() == (study.study / path).read_bytes(), f"{name} differs"
    print("| subjects | Slurm jobs | killed | not completed | scans lost | excluded | minutes | peak GB |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    counts = f"| {given.subjects} | {len(jobs)} | {len(killed)} | {len(cut)} | 0 | {excluded} "
    print(f"{counts}| {seconds / 60:.1f} | {peak[0] / 1e9:.2f} |")
    print("\nkilled:", ", ".join(killed) or "none")


def workspace(folder: Path, content: dict) -> Workspace:
    """An empty workspace."""
    folder.mkdir(parents=True)
    return Workspace(folder, content)


def watch_disk(folder: Path, done: threading.Event, peak: list[float]) -> None:
    """Note the largest size of a folder until `done`."""
    while not done.wait(15):
        said = subprocess.run(["du", "-s", "-B1", folder], capture_output=True, text=True).stdout
        peak[0] = max(peak[0], float(said.split()[0]) if said else 0.0)


def cpu_seconds(process: int) -> float:
    """CPU time of a process and of the children that it has waited for."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / TICK


def query_count() -> int:
    """Messages that this user has sent to the controller so far, by `sdiag`, without this query itself."""
    said = subprocess.run(["sdiag"], capture_output=True, text=True, check=True).stdout
    user = said.partition("by user")[2]
    return sum(int(count) for count in re.findall(rf"\(\s*{os.getuid()}\)\s+count:(\d+)", user)) - 1


if __name__ == "__main__":
    main()
