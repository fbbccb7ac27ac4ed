"""CPU seconds of a whole study under two versions of brainuad, turn by turn.

    python benchmarks/versions.py STUDY.yaml OLD NEW [--rounds 2]

`OLD` and `NEW` are clones; one environment serves both. Each turn runs the study from nothing on one core. The results
of the last turn stay in the folder that is printed, for benchmarks/compare_results.py.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

NAMES = ("old", "new")


def main() -> None:
    """Print a line for each turn, and the ratio of each round."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study", type=Path)
    parser.add_argument("clones", type=Path, nargs=2, metavar="CLONE")
    parser.add_argument("--rounds", type=int, default=2)
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="versions-"))
    study = yaml.safe_load(given.study.read_text())
    for number in range(1, given.rounds + 1):
        used = [_run(study, clone.resolve(), folder / name) for name, clone in zip(NAMES, given.clones, strict=True)]
        print(f"round {number}: {used[0]:.1f} and {used[1]:.1f} CPU s, ratio {used[1] / used[0]:.3f}", flush=True)
    print(f"results: {folder}")


def _run(study: dict[str, object], clone: Path, folder: Path) -> float:
    """CPU seconds of all processes of a run."""
    folder.mkdir(exist_ok=True)
    shutil.rmtree(folder / "results", ignore_errors=True)
    file = folder / "study.yaml"
    file.write_text(yaml.safe_dump(study | {"results": f"{folder}/results"}))
    command = [sys.executable, "-m", "snakemake", "--snakefile", f"{clone}/Snakefile", "--directory", str(clone)]
    command += ["--configfile", str(file), "--cores", "1", "--quiet", "all", "--forceall"]
    environment = os.environ | {"PYTHONPATH": f"{clone}/src", "OMP_NUM_THREADS": "1"}
    with (folder / "run.log").open("w") as log:
        process = subprocess.Popen(command, cwd=clone, env=environment, stdout=log, stderr=subprocess.STDOUT)
        _, status, used = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"error: the study ended with {os.waitstatus_to_exitcode(status)}; see {folder}/run.log")
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
