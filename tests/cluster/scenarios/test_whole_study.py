"""The whole shrunken study through the bare command."""

from __future__ import annotations

from onenode import say
from study import NETWORK, assert_same


def test_the_whole_study_asks_for_what_it_needs_and_gives_the_same_tables(fresh, reference, slurm):
    study = fresh("study")
    study.run(seconds=900)
    jobs = slurm.jobs(study.folder)
    say(f"{len(jobs)} jobs of Slurm")
    assert {job.state for job in jobs} == {"COMPLETED"}
    on_gpu = sorted(job.comment for job in jobs if job.gpus)
    wanted = [f"rule_infer_wildcards_{NETWORK}_0_{label}" for label in ("healthy", "patients")]
    assert on_gpu == [*wanted, f"rule_train_wildcards_{NETWORK}_0"]
    assert all(job.gpus == 1 for job in jobs if job.comment in on_gpu)
    assert not {"track", "report", "quality", "split"} & {job.rule for job in jobs}, "these belong on the login node"
    assert_same(study, reference)
