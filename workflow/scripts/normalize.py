import json
import os
from pathlib import Path

from brainuad.config.datasets import Made
from brainuad.config.load import build_study
from brainuad.config.recipe import Normalize
from brainuad.logs import job_log
from brainuad.normalize.job import Source, normalize, normalize_made
from brainuad.resources.usage import metered

with metered(snakemake), job_log(snakemake.log[0]):
    study = build_study(snakemake.config, os.environ["BRAINUAD_STUDY"])
    label = snakemake.wildcards.dataset
    dataset = study.datasets[label]
    recipe = Normalize.model_validate(json.loads(snakemake.params.config)["recipe"])
    source = Source(Path(snakemake.input.table), Path(snakemake.params.folder))
    scaling, out = Path(snakemake.input.scaling), Path(snakemake.output.array_cache)
    if isinstance(dataset, Made):
        normalize_made(source, label, dataset, study.seed, scaling, recipe, out)
    else:
        normalize(source, scaling, recipe, out)
