import json
from pathlib import Path

from brainuad.formats.usage import metered
from brainuad.preprocess.batch import preprocess_scans

with metered(snakemake):
    mark = Path(snakemake.output.mark)
    preprocess_scans(
        config=json.loads(snakemake.params.config),
        code=snakemake.params.code,
        inputs={snakemake.wildcards.scan: dict(snakemake.input.items())},
        folder=mark.parents[1],
        mark=mark,
    )
