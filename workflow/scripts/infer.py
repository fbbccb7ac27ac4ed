import json
from pathlib import Path

from brainuad.cluster.scratch import nearby
from brainuad.config.model import MODEL
from brainuad.config.study import Compute
from brainuad.infer.job import infer
from brainuad.logs import job_log
from brainuad.resources.usage import metered

with metered(snakemake), job_log(snakemake.log[0]):
    config = json.loads(snakemake.params.config)
    model = MODEL.validate_python(config["model"])
    compute = Compute.model_validate(snakemake.config.get("compute", {}))
    with nearby([Path(snakemake.input.array_cache)], compute.scratch) as (array_cache,):
        infer(
            bundle=Path(snakemake.input.about).parent,
            array_cache=array_cache,
            map_settings=model.map,
            lesion_sign=config["lesion_sign"],
            compute=compute,
            out=Path(snakemake.output.maps),
            tags={"study": snakemake.config["study"], "family": model.family, **snakemake.wildcards},
        )
