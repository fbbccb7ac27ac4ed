import json
from pathlib import Path

from brainuad.config.datasets import Split
from brainuad.config.recipe import Quality
from brainuad.errors import reported
from brainuad.formats import status
from brainuad.normalize.job import split

with reported(snakemake.log[0]):
    config = json.loads(snakemake.params.config)
    split(
        table=Path(snakemake.input.table),
        statuses={Path(folder).name: Path(folder) / status.NAME for folder in snakemake.input.folders},
        shares=Split.model_validate(config["split"]) if config["split"] else None,
        healthy=config["healthy"],
        seed=config["seed"],
        limits=Quality.model_validate(config["limits"]),
        out=Path(snakemake.output.table),
        decisions=config["decisions"],
    )
