import json
from pathlib import Path

from brainuad.config.postprocessing import POSTPROCESSING, THRESHOLDS
from brainuad.logs import job_log
from brainuad.postprocess.job import postprocess
from brainuad.resources.usage import metered

with metered(snakemake), job_log(snakemake.log[0]):
    config = json.loads(snakemake.params.config)
    validation = zip(snakemake.input.validation_maps, snakemake.input.validation_stores, strict=True)
    postprocess(
        maps=Path(snakemake.input.maps),
        array_cache=Path(snakemake.input.array_cache),
        validation=[(Path(maps), Path(array_cache)) for maps, array_cache in validation],
        healthy=snakemake.params.healthy,
        postprocessing=POSTPROCESSING.validate_python(config["postprocessing"]),
        thresholds=THRESHOLDS.validate_python(config["thresholds"]),
        out=Path(snakemake.output.masks),
        tags={"study": snakemake.config["study"], **snakemake.wildcards},
    )
