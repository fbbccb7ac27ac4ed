import json
from pathlib import Path

from brainuad.formats.usage import metered
from brainuad.preprocess.batch import preprocess_scans

with metered(snakemake, goes_on=True):
    mark, config = Path(snakemake.output.mark), json.loads(snakemake.params.config)
    preprocess_scans(config, snakemake.params.code, dict(snakemake.input.items()), folder=mark.parents[1], mark=mark)
