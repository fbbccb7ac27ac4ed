"""Many dry runs of Snakemake from one process, which loads Snakemake and reads the package's code once.

usage: dry_runs.py COMMANDS.json, a list of Snakemake's arguments for each run. Writes [exit code, output] of each, as
JSON, to standard output.
Each run is a fork, so that no run sees what another one did.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import snakemake.cli

import brainuad.plan  # noqa: F401  # loaded before the forks
from brainuad.code_hash import code_hash
from brainuad.jobs.registry import STAGE_OF, job_class, job_module


def dry_run(arguments: list[str]) -> tuple[int, str]:
    with tempfile.TemporaryFile() as output:
        child = os.fork()
        if child == 0:
            _run(arguments, output.fileno())
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        output.seek(0)
        return code, output.read().decode()


def _run(arguments: list[str], output: int) -> None:
    code = 1
    try:
        os.dup2(output, 1)
        os.dup2(output, 2)
        snakemake.cli.main(arguments)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(bool(end.code))
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    for rule in STAGE_OF:
        code_hash(f"{job_module(rule)}:{job_class(rule).__name__}")
    with ThreadPoolExecutor(2) as pool:
        ended = list(pool.map(dry_run, json.loads(Path(sys.argv[1]).read_text())))
    sys.stdout.write(json.dumps(ended))
