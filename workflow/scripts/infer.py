import json
from pathlib import Path

from brainuad.config.model import MODEL
from brainuad.config.study import Compute
from brainuad.formats.usage import metered
from brainuad.infer.job import infer

with metered(snakemake):
    config = json.loads(snakemake.params.config)
    model = MODEL.validate_python(config["model"])
    infer(
        bundle=Path(snakemake.input.about).parent,
        store=Path(snakemake.input.store),
        map_settings=model.map,
        lesion_sign=config["lesion_sign"],
        compute=Compute.model_validate(snakemake.config.get("compute", {})),
        out=Path(snakemake.output.maps),
        tags={"study": snakemake.config["study"], "family": model.family, **snakemake.wildcards},
    )
