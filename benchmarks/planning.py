"""Time and memory of a dry run over many scans: `python benchmarks/planning.py 1000`.

Run from the root of a clone. Prints a Markdown table; the scans are phantoms that are never made.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml


def main() -> None:
    """Plan the demo with the number of scans given, three times."""
    scans = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    study = yaml.safe_load(Path("config.yaml").read_text())
    study["datasets"]["healthy"]["subjects"] = scans - study["datasets"]["patients"]["subjects"]
    seconds = []
    with tempfile.TemporaryDirectory() as folder:
        study["results"] = f"{folder}/results"
        file = Path(folder) / "study.yaml"
        file.write_text(yaml.safe_dump(study))
        command = ["snakemake", "--dry-run", "--quiet", "--cores", "2", "--nolock", "--configfile", str(file)]
        for _ in range(3):
            start = time.perf_counter()
            subprocess.run([sys.executable, "-m", *command], check=True, capture_output=True)
            seconds.append(time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print("| scans | seconds (median of 3) | peak memory, MB |\n| --- | --- | --- |")
    print(f"| {scans} | {sorted(seconds)[1]:.1f} | {peak:.0f} |")


if __name__ == "__main__":
    main()
