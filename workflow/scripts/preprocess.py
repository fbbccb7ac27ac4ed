import json
from pathlib import Path

from brainuad.errors import reported
from brainuad.preprocess.batch import preprocess_scans

with reported(snakemake.log[0]):
    mark = Path(snakemake.output.mark)
    preprocess_scans(
        config=json.loads(snakemake.params.config),
        code=snakemake.params.code,
        inputs={snakemake.wildcards.scan: dict(snakemake.input.items())},
        folder=mark.parents[1],
        mark=mark,
    )
