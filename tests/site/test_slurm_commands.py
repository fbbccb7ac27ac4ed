import errno
import os
import subprocess

import pytest

from brainuad.cluster import job_queue, slurm_commands


def test_what_a_user_prefers_to_see_hides_no_job(slurm, monkeypatch):
    """`SQUEUE_PARTITION` and the like narrow what the commands show."""
    monkeypatch.setenv("SQUEUE_PARTITION", "short")
    monkeypatch.setenv("SLURM_CONF", "/etc/elsewhere.conf")
    slurm(squeue='echo "1|RUN${SQUEUE_PARTITION}NING"; [ "$SLURM_CONF" = /etc/elsewhere.conf ]')
    assert job_queue.query_job_states("run", use_accounting=False) == {"1": "RUNNING"}


def test_a_login_node_at_its_limit_of_processes_is_a_slurm_command_error(monkeypatch):
    def run(*_, **__):
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(slurm_commands.SlurmCommandError, match="could not start"):
        slurm_commands.run_slurm("squeue")
    assert slurm_commands.run_slurm_or_empty("squeue") == ""


def test_odd_letters_and_lines_in_a_comment_harm_nothing(slurm, tmp_path):
    slurm(squeue=rf"printf '1|RUNNING|x|caf\351\ntwo|/elsewhere\n2|RUNNING|0c52|rule_train|{tmp_path}\n'")
    assert [job.job_id for job in job_queue.jobs_of_earlier_runs(tmp_path)] == ["2"]
