import json
from pathlib import Path

from brainuad.config.study import Evaluate
from brainuad.evaluate.job import summarise
from brainuad.logs import job_log
from brainuad.resources.usage import metered

with metered(snakemake), job_log(snakemake.log[0]):
    config = json.loads(snakemake.params.config)
    folders = [Path(folder) for folder in snakemake.input.folders]
    settings = Evaluate.model_validate(config["evaluate"])
    summarise(folders, settings, config["baselines"], Path(snakemake.output[0]).parent)
