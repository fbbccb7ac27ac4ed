import json
from pathlib import Path

from brainuad.config.recipe import Quality
from brainuad.formats import batch
from brainuad.logs import job_log
from brainuad.preprocess.summary import summarise_quality
from brainuad.resources.usage import metered

with metered(snakemake), job_log(snakemake.log[0]):
    folders = {scan: Path(snakemake.params.folder) / scan for scan in batch.read(snakemake.input.marks)}
    limits = Quality.model_validate(json.loads(snakemake.params.config)["limits"])
    summarise_quality(Path(snakemake.input.table), folders, limits, Path(snakemake.output.folder))
