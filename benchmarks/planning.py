"""Time and memory of a dry run over many scans: `python benchmarks/planning.py 10000`.

Run from the root of a clone. Prints a Markdown table, for one and for 25 scans per job. The scans are phantoms that are
never made; with `--files` they are empty files in BIDS order, which are listed and inspected.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

SCANS_PER_JOB = (1, 25)
TRIALS = 3


def main() -> None:
    """Plan the demo with the given number of scans, a few times per number of scans in a job."""
    scans = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    print("| scans | per job | seconds, median | CPU s | peak memory, MB | jobs | submitted |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        study = yaml.safe_load(Path("config.yaml").read_text())
        study["results"] = f"{folder}/results"
        healthy, patients = study["datasets"]["healthy"], study["datasets"]["patients"]
        healthy["subjects"] = scans - patients["subjects"]
        if "--files" in sys.argv:
            study["datasets"]["healthy"] = _on_disk(folder / "heads", healthy)
        for per_job in SCANS_PER_JOB:
            study["compute"] = {**study.get("compute", {}), "scans_per_job": per_job}
            file = folder / "study.yaml"
            file.write_text(yaml.safe_dump(study))
            trials = sorted(_dry_run(file) for _ in range(TRIALS))
            wall, cpu, memory, jobs, submitted = trials[TRIALS // 2]
            print(f"| {scans} | {per_job} | {wall:.1f} | {cpu:.1f} | {memory:.0f} | {jobs} | {submitted} |", flush=True)


def _on_disk(root: Path, phantoms: dict[str, Any]) -> dict[str, Any]:
    for number in range(phantoms["subjects"]):
        path = root / f"sub-{number:05d}/anat/sub-{number:05d}_T1w.nii.gz"
        path.parent.mkdir(parents=True)
        path.touch()
    return {"source": "folder", "root": str(root), "healthy": True, "split": phantoms["split"]}


def _dry_run(study: Path) -> tuple[float, float, float, int, int]:
    """Wall and CPU seconds, MB, number of jobs, and of jobs that are submitted to a cluster."""
    command = [sys.executable, "-m", "snakemake", "--dry-run", "--quiet", "rules", "--cores", "2", "--nolock"]
    start = time.perf_counter()
    with tempfile.TemporaryFile("w+") as out:
        process = subprocess.Popen([*command, "--configfile", str(study)], stdout=out, stderr=subprocess.STDOUT)
        _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        out.seek(0)
        text = out.read()
    assert status == 0, text[-2000:]
    local = re.findall(r"^    (\w+),$", Path("Snakefile").read_text().partition("localrules:")[2], re.M)
    rules = {rule: int(count) for rule, count in re.findall(r"^(\w+) +(\d+)$", text, re.M) if rule != "total"}
    submitted = sum(count for rule, count in rules.items() if rule not in local)
    return wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, sum(rules.values()), submitted


if __name__ == "__main__":
    main()
