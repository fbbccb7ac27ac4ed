import json
from pathlib import Path

from brainuad.config.datasets import Split
from brainuad.formats import batch, status
from brainuad.formats.decisions import Decision
from brainuad.formats.usage import metered
from brainuad.normalize.job import split

with metered(snakemake):
    config, folder = json.loads(snakemake.params.config), Path(snakemake.params.folder)
    split(
        table=Path(snakemake.input.table),
        statuses={scan: folder / scan / status.NAME for scan in batch.read(snakemake.input.marks)},
        shares=Split.model_validate(config["split"]) if config["split"] else None,
        healthy=config["healthy"],
        seed=config["seed"],
        out=Path(snakemake.output.table),
        decisions={scan: Decision(**told) for scan, told in config["decisions"].items()},
    )
