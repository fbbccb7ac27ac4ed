import json
from pathlib import Path

from brainuad.config.recipe import Quality
from brainuad.errors import reported
from brainuad.preprocess.job import summarise_quality

with reported(snakemake.log[0]):
    folders = {Path(folder).name: Path(folder) for folder in snakemake.input.folders}
    limits = Quality.model_validate(json.loads(snakemake.params.config)["limits"])
    summarise_quality(Path(snakemake.input.table), folders, limits, Path(snakemake.output.folder))
