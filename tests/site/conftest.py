"""A cluster of little programs that print what Slurm printed; no Slurm is needed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

SINFO = """\
short*|up|4:00:00|40|(null)
long|up|7-00:00:00|40|(null)
gpu|up|2-00:00:00|6|gpu:a100:4(S:0-1)
gpu|up|2-00:00:00|2|gpu:v100:2,nvme:1
old|down|infinite|3|gpu:k80:8
"""
PING = "Slurmctld(primary) at head is UP"


def says(text: str) -> str:
    """A shell program that prints this."""
    return f"/bin/cat <<'END'\n{text.rstrip()}\nEND"


def fails(text: str, status: int = 1) -> str:
    """A shell program that complains and fails."""
    return f"/bin/cat >&2 <<'END'\n{text}\nEND\nexit {status}"


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Put programs on PATH, and nothing else: name to shell program, over those of a sound cluster; None for none."""
    folder = tmp_path / "slurm-programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    sound = {
        "sbatch": "true",
        "scancel": "true",
        "squeue": "true",
        "scontrol": says(PING),
        "sinfo": says(SINFO),
        "sacct": fails("Slurm accounting storage is disabled"),
        "sacctmgr": fails("You are not running a supported accounting_storage plugin"),
    }

    def install(**programs: str | None) -> None:
        for name, program in {**sound, **programs}.items():
            path = folder / name
            path.unlink(missing_ok=True)
            if program is not None:
                path.write_text(f"#!/bin/sh\n{program}\n")
                path.chmod(0o755)

    install()
    return install
