"""How well the terminal tells the time left: replays finished runs from Snakemake's own logs.

    python benchmarks/time_left.py results_study.yaml=.snakemake/log/2026-01-01T000000.snakemake.log ...

Each argument is a study file and the log of a whole run of it (Snakemake writes one for every run). For each job that
ended it prints the estimate over the truth; at the end how many from the tenth job on lie within a factor of 1.5, or
within the 10 s to which the terminal rounds. `before`: jobs left at the mean time of their rule. Trainings are taken
to go on at an even pace, and to say so every ten seconds.
"""

from __future__ import annotations

import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from statistics import median

from brainuad.config.load import load_study
from brainuad.expected_costs import KIND, expected_seconds
from brainuad.plan import Plan
from brainuad.resources.time_left import Machine, Progress, Task, TimeLeft

FACTOR, ROUNDED_S, FROM_JOB, TELLS_S = 1.5, 10.0, 10, 10.0
TIME = re.compile(r"\[(\w{3} \w{3} +\d+ [\d:]+ \d{4})\]")
RULE = re.compile(r"(?:local)?rule (\w+):")
DONE = re.compile(r"Finished jobid: (\d+)")


@dataclass
class Job:
    """A job of a log. Times are in s."""

    rule: str
    start: float
    end: float = float("nan")
    threads: int = 1
    priority: int = 0
    wildcards: dict[str, str] = field(default_factory=dict)
    input: list[str] = field(default_factory=list)
    output: list[str] = field(default_factory=list)


def read_log(path: Path) -> tuple[dict[int, Job], int]:
    """The jobs of a finished run, by Snakemake's number, and the cores that it had."""
    jobs: dict[int, Job] = {}
    job, now, cores = None, 0.0, 1
    for line in path.read_text(encoding="utf-8").splitlines():
        if match := TIME.fullmatch(line):
            now = datetime.strptime(match[1], "%a %b %d %H:%M:%S %Y").timestamp()
        elif line.startswith("Provided cores:"):
            cores = int(line.split(":")[1])
        elif match := RULE.fullmatch(line):
            job = Job(match[1], now)
        elif match := DONE.match(line):
            jobs[int(match[1])].end = now
        elif job is not None and line.startswith("    "):
            name, _, value = line.strip().partition(": ")
            if name == "jobid":
                jobs[int(value)] = job
            elif name in ("threads", "priority"):
                setattr(job, name, int(value))
            elif name in ("input", "output"):
                setattr(job, name, value.split(", "))
            elif name == "wildcards":
                job.wildcards = dict(each.split("=", 1) for each in value.split(", "))
    return {number: job for number, job in jobs.items() if job.end == job.end}, cores


def planned(jobs: dict[int, Job], plan: Plan) -> dict[int, Task]:
    """The jobs as the run knew them before it started."""
    makers = {path: number for number, job in jobs.items() for path in job.output}
    tasks = {}
    for number, job in jobs.items():
        above = (each for path in job.input for each in (path, *map(str, Path(path).parents)))
        needs = tuple(dict.fromkeys(makers[each] for each in above if each in makers))
        kind = job.wildcards.get(KIND.get(job.rule, ""), "")
        seconds = expected_seconds(plan, job.rule, job.wildcards)
        tasks[number] = Task(job.rule, kind, seconds, job.threads, 0, job.priority, needs)
    return tasks


def events(jobs: dict[int, Job]) -> Iterator[tuple[float, int, int]]:
    """Time, 1 where a job starts, else 0 or 2 where it ends, and its number, in order. The log counts whole seconds."""
    ends = [(job.end, 2 if job.end == job.start else 0, number) for number, job in jobs.items()]
    yield from sorted(ends + [(job.start, 1, number) for number, job in jobs.items()])


def replay(jobs: dict[int, Job], tasks: dict[int, Task], cores: int) -> list[tuple[float, float]]:
    """Estimate and truth, s, as each job but the last ends."""
    first, last = min(job.start for job in jobs.values()), max(job.end for job in jobs.values())
    now = first

    def progress(number: int, start: float) -> Progress | None:
        told = (now - start) // TELLS_S * TELLS_S
        done = told / max(jobs[number].end - start, 1.0)
        return Progress(done, 1 - done, start, start + told) if jobs[number].rule == "train" else None

    left, found = TimeLeft(tasks, Machine(cores), first, progress), []
    for now, what, number in events(jobs):
        if what == 1:
            left.start(number, jobs[number].rule, now)
        else:
            left.finish(number, now)
            if now < last:
                found.append((left.seconds_left(now), last - now))
    return found


def replay_means(jobs: dict[int, Job]) -> list[tuple[float, float]]:
    """The same for jobs left at the mean time of their rule, else at the median of all rules."""
    first, last = min(job.start for job in jobs.values()), max(job.end for job in jobs.values())
    counts, took, found = Counter(job.rule for job in jobs.values()), defaultdict[str, list[float]](list), []
    for job in sorted(jobs.values(), key=lambda job: job.end):
        took[job.rule].append(job.end - job.start)
        means = {rule: sum(each) / len(each) for rule, each in took.items()}
        usual = median(means.values())
        work = sum((count - len(took.get(rule, ()))) * means.get(rule, usual) for rule, count in counts.items())
        at_once = max(sum(map(sum, took.values())) / max(job.end - first, 1e-3), 1.0)
        if job.end < last:
            found.append((work / at_once, last - job.end))
    return found


def summary(found: list[tuple[float, float]]) -> str:
    """How many estimates are right, and the range of their ratio to the truth, from the tenth job on."""
    later = found[FROM_JOB - 1 :]
    right = [1 / FACTOR <= left / truth <= FACTOR or abs(left - truth) <= ROUNDED_S for left, truth in later]
    ratios = [left / truth for left, truth in later if abs(left - truth) > ROUNDED_S] or [1.0]
    return f"{sum(right)} of {len(right)} right, {min(ratios):.2f} to {max(ratios):.2f}"


def main() -> None:
    for argument in sys.argv[1:]:
        study, _, log = argument.partition("=")
        jobs, cores = read_log(Path(log))
        tasks = planned(jobs, Plan(load_study(study)))
        rows = {"before": replay_means(jobs), "now": replay(jobs, tasks, cores)}
        took = max(job.end for job in jobs.values()) - min(job.start for job in jobs.values())
        print(f"{study}: {len(jobs)} jobs, {took:.0f} s")
        for number, (old, new) in enumerate(zip(*rows.values(), strict=True), start=1):
            if number == FROM_JOB or number % max(1, len(jobs) // 20) == 0:
                print(f"  {number:4} {new[1]:6.0f} s left   before {old[0] / old[1]:5.2f}   now {new[0] / new[1]:5.2f}")
        for name, found in rows.items():
            print(f"  {name}: {summary(found)}")


if __name__ == "__main__":
    main()
