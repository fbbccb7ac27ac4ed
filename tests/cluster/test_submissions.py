from __future__ import annotations

from threading import Timer
from threading import enumerate as enumerate_threads
from types import SimpleNamespace

import pytest
from snakemake.scheduling.job_scheduler import JobRateLimiter, JobScheduler
from snakemake.settings.types import MaxJobsPerTimespan

from brainuad.cluster.submissions import cancel_turns, spare_scheduler


@pytest.mark.parametrize(
    ("limit", "jobs", "span"), [("10000/10s", 60, 10), ("10000/10s", 1000, 50), ("7/10s", 1000, 10)]
)
def test_the_span_between_turns_grows_with_the_jobs_where_it_is_no_limit(limit: str, jobs: int, span: float) -> None:
    read = MaxJobsPerTimespan.parse_choice(limit)
    limiter = JobRateLimiter(read)
    dag = SimpleNamespace(needrun_jobs=lambda: iter(range(jobs)))
    spare_scheduler(SimpleNamespace(scheduling_settings=SimpleNamespace(max_jobs_per_timespan=read), dag=dag))
    assert limiter.timespan == span


def test_the_scheduler_turns_no_more_after_the_end_of_a_run() -> None:
    others = Timer(30, print)
    others.start()
    threads = set(enumerate_threads())
    JobScheduler._schedule_reevalutation(SimpleNamespace(_open_jobs=None), 30)
    (turn,) = set(enumerate_threads()) - threads
    cancel_turns()
    turn.join(5)
    assert (turn.is_alive(), others.is_alive()) == (False, True)
    others.cancel()
