import json
from pathlib import Path

from brainuad.logs import job_log
from brainuad.preprocess.batch import preprocess_scans
from brainuad.resources.usage import metered

with metered(snakemake, goes_on=True), job_log(snakemake.log[0]):
    mark, config = Path(snakemake.output.mark), json.loads(snakemake.params.config)
    preprocess_scans(config, snakemake.params.code, dict(snakemake.input.items()), folder=mark.parents[1], mark=mark)
