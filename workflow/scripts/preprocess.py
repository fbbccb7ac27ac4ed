import json
from pathlib import Path

from brainuad.errors import reported
from brainuad.preprocess.job import preprocess_scan

with reported(snakemake.log[0]):
    preprocess_scan(
        settings=json.loads(snakemake.params.config),
        inputs=dict(snakemake.input.items()),
        scan=snakemake.wildcards.scan,
        out=Path(snakemake.output.folder),
    )
