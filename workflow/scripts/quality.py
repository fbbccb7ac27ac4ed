import json
from pathlib import Path

from brainuad.config.recipe import Quality
from brainuad.formats import batch
from brainuad.formats.usage import metered
from brainuad.preprocess.summary import summarise_quality

with metered(snakemake):
    folders = {scan: Path(snakemake.params.folder) / scan for scan in batch.read(snakemake.input.marks)}
    limits = Quality.model_validate(json.loads(snakemake.params.config)["limits"])
    summarise_quality(Path(snakemake.input.table), folders, limits, Path(snakemake.output.folder))
