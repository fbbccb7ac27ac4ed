import json
from pathlib import Path

from brainuad.config.datasets import Split
from brainuad.config.recipe import Quality
from brainuad.formats import batch, status
from brainuad.logs import job_log
from brainuad.normalize.job import split
from brainuad.resources.usage import metered

with metered(snakemake), job_log(snakemake.log[0]):
    config, folder = json.loads(snakemake.params.config), Path(snakemake.params.folder)
    split(
        table=Path(snakemake.input.table),
        statuses={scan: folder / scan / status.NAME for scan in batch.read(snakemake.input.marks)},
        shares=Split.model_validate(config["split"]) if config["split"] else None,
        healthy=config["healthy"],
        seed=config["seed"],
        limits=Quality.model_validate(config["limits"]),
        out=Path(snakemake.output.table),
        decisions=config["decisions"],
    )
