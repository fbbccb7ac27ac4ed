import json
from pathlib import Path

from brainuad.config.chain import CHAIN, THRESHOLDS
from brainuad.formats.usage import metered
from brainuad.postprocess.job import postprocess

with metered(snakemake):
    config = json.loads(snakemake.params.config)
    validation = zip(snakemake.input.validation_maps, snakemake.input.validation_stores, strict=True)
    postprocess(
        maps=Path(snakemake.input.maps),
        store=Path(snakemake.input.store),
        validation=[(Path(maps), Path(store)) for maps, store in validation],
        healthy=snakemake.params.healthy,
        chain=CHAIN.validate_python(config["chain"]),
        thresholds=THRESHOLDS.validate_python(config["thresholds"]),
        out=Path(snakemake.output.masks),
        tags={"study": snakemake.config["study"], **snakemake.wildcards},
    )
