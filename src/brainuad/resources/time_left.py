"""How long a run still takes, from what its jobs are expected to cost and what the finished ones did cost.

Expected costs (`brainuad.expected_costs`) are those of one machine. Here they are scaled to the machine at hand and to
the data, and laid on its cores in the order that the files ask for. Why so: docs/decisions/0058-time-left.md.
"""

from __future__ import annotations

import heapq
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

NOT_MUCH_OF_A_JOB = 0.04
"""Share of a job that must be done before its pace says how long it takes."""
SECONDS_THAT_COUNT = 10.0
"""Of a rule's finished jobs: with so much time its pace counts half in that of the machine."""
WEIGHT_OF_EXPECTED = 0.25
"""Of a machine as fast as that of the expected costs, beside the rules whose jobs have finished."""
OVERRUN = 0.2
"""What a job that takes longer than expected still needs, as a share of what it has taken."""
Group = tuple[str, str | None]
"""Jobs of a rule, and of a kind or of all kinds."""


class Machine(NamedTuple):
    """What jobs share. `cores`: None where they run elsewhere; then as many run at once as finished ones tell."""

    cores: int | None
    gpus: int | None = None
    """None: not counted."""


class Progress(NamedTuple):
    """What a running job said of itself: its shares that were done from one time to another, and left, 0 to 1."""

    done: float
    left: float
    since: float
    at: float


@dataclass(frozen=True)
class Task:
    """A job of a run. `kind`: jobs of a rule that should cost alike share it."""

    rule: str
    kind: str = ""
    seconds: float = 10.0
    """Expected, on the machine of `brainuad.expected_costs`."""
    threads: int = 1
    gpus: int = 0
    priority: int = 0
    needs: tuple[int, ...] = ()
    """The jobs whose files it reads."""


class TimeLeft:
    """Keeps which jobs are done, run and wait. Times are in seconds, of any clock.

    `progress`: of a job that runs, since when it runs; None where it does not say.
    """

    def __init__(
        self,
        tasks: Mapping[int, Task],
        machine: Machine,
        started: float,
        progress: Callable[[int, float], Progress | None] | None = None,
    ):
        self._tasks, self._machine, self._started, self._progress = dict(tasks), machine, started, progress
        self._waiting, self._running = set(tasks), dict[int, float]()
        self._failed: set[int] = set()
        self._took: dict[int, float] = {}

    def start(self, job: int, rule: str, now: float) -> None:
        """A job starts, or starts again. One that nobody announced takes the place of one with a number under 0."""
        if job not in self._tasks:
            unnamed = next((each for each in self._waiting if each < 0 and self._tasks[each].rule == rule), None)
            self._tasks[job] = Task(rule) if unnamed is None else self._tasks[unnamed]
            self._waiting.discard(-1 if unnamed is None else unnamed)
        self._waiting.discard(job)
        self._failed.discard(job)
        self._running[job] = now

    def finish(self, job: int, now: float) -> None:
        """A job is done."""
        if job in self._running:
            self._took[job] = now - self._running.pop(job)

    def fail(self, job: int) -> None:
        """A job failed: what needs its files will not run, unless it is started again."""
        self._running.pop(job, None)
        self._failed.add(job)

    def seconds_left(self, now: float) -> float:
        """Until the last job that can run is done."""
        asked = {job: self._progress(job, start) if self._progress else None for job, start in self._running.items()}
        told = {job: each for job, each in asked.items() if each is not None and each.done > NOT_MUCH_OF_A_JOB}
        pace, lost = self._pace(told), self._lost()
        running = {job: _rest(start, now, pace(job), told.get(job)) for job, start in self._running.items()}
        return self._laid_out(running, {job: pace(job) for job in self._waiting - lost}, self._capacity(now))

    def _pace(self, told: Mapping[int, Progress]) -> Callable[[int], float]:
        """The seconds that a job takes here, from the costs of finished and running ones, its own kind first."""
        seen = [(self._tasks[job], seconds, 1.0) for job, seconds in self._took.items()]
        seen += [(self._tasks[job], each.at - each.since, each.done) for job, each in told.items()]
        took, expected = defaultdict[Group, float](float), defaultdict[Group, float](float)
        for task, seconds, share in seen:
            for group in ((task.rule, None), (task.rule, task.kind)):
                took[group] += seconds
                expected[group] += share * task.seconds
        weights = {group: took[group] / (took[group] + SECONDS_THAT_COUNT) for group in took if group[1] is None}
        logs = sum(weight * math.log(max(took[g], 1e-3) / expected[g]) for g, weight in weights.items())
        machine = math.exp(logs / (sum(weights.values()) + WEIGHT_OF_EXPECTED))
        usual = _means(self._tasks.values())

        def ratio(group: Group, otherwise: float) -> float:
            """Of costs to expected ones; one more job as it is `otherwise` counts with those of the group."""
            return (took.get(group, 0.0) + otherwise * usual[group]) / (expected.get(group, 0.0) + usual[group])

        def seconds_of(job: int) -> float:
            task = self._tasks[job]
            return task.seconds * ratio((task.rule, task.kind), ratio((task.rule, None), machine))

        return seconds_of

    def _lost(self) -> set[int]:
        """The failed jobs and all that would need their files."""
        lost = set(self._failed)
        readers: dict[int, list[int]] = defaultdict(list)
        for job, task in self._tasks.items():
            for needed in task.needs:
                readers[needed].append(job)
        new = list(lost)
        while new:
            new = [reader for job in new for reader in readers[job] if reader not in lost]
            lost.update(new)
        return lost

    def _capacity(self, now: float) -> Machine:
        if self._machine.cores is not None:
            return self._machine
        return Machine(max(1, round(sum(self._took.values()) / max(now - self._started, 1e-3))))

    def _laid_out(self, running: Mapping[int, float], waiting: Mapping[int, float], machine: Machine) -> float:
        """When the last job ends, as each starts as soon as its inputs are there and the machine has room for it.

        `running`, `waiting`: seconds of each. Those that run have the first places.
        """
        missing = {job: sum(each in waiting or each in running for each in self._tasks[job].needs) for job in waiting}
        readers: dict[int, list[int]] = defaultdict(list)
        for job in waiting:
            for each in self._tasks[job].needs:
                readers[each].append(job)
        seconds = {**waiting, **running}
        ready = [(-math.inf, job) for job in running]
        ready += [(-float(self._tasks[job].priority), job) for job, count in missing.items() if not count]
        heapq.heapify(ready)
        ends: list[tuple[float, int]] = []
        time, cores, gpus = 0.0, float(machine.cores or 1), math.inf if machine.gpus is None else float(machine.gpus)
        while ready or ends:
            put_off = []
            while ready and cores > 0:
                rank, job = heapq.heappop(ready)
                use = self._use(job, machine)
                if (use.cores or 0) > cores or (use.gpus or 0) > gpus:
                    put_off.append((rank, job))
                    continue
                cores, gpus = cores - (use.cores or 0), gpus - (use.gpus or 0)
                heapq.heappush(ends, (time + seconds[job], job))
            for later in put_off:
                heapq.heappush(ready, later)
            time, job = heapq.heappop(ends)
            use = self._use(job, machine)
            cores, gpus = cores + (use.cores or 0), gpus + (use.gpus or 0)
            for reader in readers[job]:
                missing[reader] -= 1
                if not missing[reader]:
                    heapq.heappush(ready, (-float(self._tasks[reader].priority), reader))
        return time

    def _use(self, job: int, machine: Machine) -> Machine:
        """What a job takes of the machine, at most all of it."""
        task = self._tasks[job]
        cores = 1 if self._machine.cores is None else min(task.threads, machine.cores or 1)
        return Machine(cores, task.gpus if machine.gpus is None else min(task.gpus, machine.gpus))


def _rest(start: float, now: float, seconds: float, told: Progress | None) -> float:
    """What a job still needs that began at `start` and should take `seconds`."""
    if told is None:
        return max(seconds - (now - start), OVERRUN * (now - start))
    return max((told.at - told.since) * told.left / told.done - (now - told.at), 0.0)


def _means(tasks: Iterable[Task]) -> dict[Group, float]:
    """Expected seconds of a job of each rule, and of each kind of a rule."""
    seconds: dict[Group, list[float]] = defaultdict(list)
    for task in tasks:
        seconds[task.rule, None].append(task.seconds)
        seconds[task.rule, task.kind].append(task.seconds)
    return {group: sum(each) / len(each) for group, each in seconds.items()}
