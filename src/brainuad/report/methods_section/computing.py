"""Software, machines and time behind a study, from its run records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from brainuad.config.study import Compute
from brainuad.config.told import count, listed

CITED = {"torch": "[@pytorch2019]", "snakemake": "[@snakemake2021]", "SimpleITK": "[@lowekamp2013]"}


def paragraph(
    compute: Compute, provenance: Mapping[str, Any], records: Sequence[Mapping[str, Any]], costs: pd.DataFrame
) -> list[str]:
    """Versions, machines and time; nothing before any job ran. `provenance`: that of the report."""
    versions = provenance["versions"]
    if not versions:
        return []
    named = [
        f"{name} {' and '.join(each)}" + (f" {CITED[name]}" if name in CITED else "") for name, each in versions.items()
    ]
    own = [text for text in named if text.startswith("brainuad ")]
    others = [text for text in named if text not in own]
    commits = provenance["commits"]
    commit = f" (commit {listed([text[:12] for text in commits])})" if commits else ""
    sentences = [f"The study was run with {own[0] if own else 'brainuad'}{commit}; software: {listed(others)}."]
    if provenance["hosts"]:
        sentences.append(f"Machines: {'; '.join(provenance['hosts'])}.")
    devices = f" and {count(compute.devices, 'device')}" if compute.devices > 1 else ""
    sentences.append(f"Trainings had {count(compute.threads, 'thread')}{devices} each.")
    if len(costs):
        hours = costs["cpu_seconds"].sum() / 3600
        peak = costs["peak_memory_mb"].max() / 1000
        sentences.append(
            f"All jobs together took {hours:.2g} hours of processor time, the largest one {peak:.2g} GB of memory."
        )
    trained = [record for record in records if record["stage"] == "train" and record["facts"].get("parameters")]
    if trained:
        sizes = {record["tags"]["model"]: record["facts"]["parameters"] for record in trained}
        each = [f"`{model}` {number:,}" for model, number in sizes.items()]
        minutes = [record["seconds"] / 60 for record in trained]
        sentences.append(
            f"Trained parameters: {listed(each)}; a training took {min(minutes):.2g} to {max(minutes):.2g} min."
        )
    return [" ".join(sentences)]
