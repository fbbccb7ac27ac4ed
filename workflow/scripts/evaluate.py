import json
from pathlib import Path

from brainuad.config.chain import THRESHOLDS
from brainuad.config.study import Evaluate
from brainuad.errors import reported
from brainuad.evaluate.job import evaluate

with reported(snakemake.log[0]):
    config = json.loads(snakemake.params.config)
    healthy = zip(snakemake.input.healthy_maps, snakemake.input.healthy_stores, strict=True)
    evaluate(
        maps=Path(snakemake.input.maps),
        posts={Path(folder).name: Path(folder) for folder in snakemake.input.masks},
        store=Path(snakemake.input.store),
        healthy_scores=[(Path(maps), Path(store)) for maps, store in healthy],
        settings=Evaluate.model_validate(config["evaluate"]),
        thresholds=THRESHOLDS.validate_python(config["thresholds"]),
        out=Path(snakemake.output.folder),
        tags={"study": snakemake.config["study"], **snakemake.wildcards},
        located=config["located"],
    )
