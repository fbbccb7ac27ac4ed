import json
from pathlib import Path

from brainuad.config.postprocessing import THRESHOLDS
from brainuad.config.study import Evaluate
from brainuad.evaluate.job import evaluate
from brainuad.logs import job_log
from brainuad.resources.usage import metered

with metered(snakemake), job_log(snakemake.log[0]):
    config = json.loads(snakemake.params.config)
    healthy = zip(snakemake.input.healthy_maps, snakemake.input.healthy_stores, strict=True)
    evaluate(
        maps=Path(snakemake.input.maps),
        posts={Path(folder).name: Path(folder) for folder in snakemake.input.masks},
        array_cache=Path(snakemake.input.array_cache),
        healthy_scores=[(Path(maps), Path(array_cache)) for maps, array_cache in healthy],
        settings=Evaluate.model_validate(config["evaluate"]),
        thresholds=THRESHOLDS.validate_python(config["thresholds"]),
        out=Path(snakemake.output.folder),
        tags={"study": snakemake.config["study"], **snakemake.wildcards},
        located=config["located"],
    )
