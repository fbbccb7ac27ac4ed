import json
from pathlib import Path

from brainuad.config.study import Evaluate
from brainuad.errors import reported
from brainuad.evaluate.job import summarise

with reported(snakemake.log[0]):
    config = json.loads(snakemake.params.config)
    folders = [Path(folder) for folder in snakemake.input.folders]
    settings = Evaluate.model_validate(config["evaluate"])
    summarise(folders, settings, config["baselines"], Path(snakemake.output[0]).parent)
