from pathlib import Path

from brainuad.config.recipe import Intensity
from brainuad.logs import job_log
from brainuad.normalize.job import Source, fit_scaling
from brainuad.resources.usage import metered

with metered(snakemake), job_log(snakemake.log[0]):
    places = zip(snakemake.input.tables, snakemake.params.folders, strict=True)
    sources = [Source(Path(table), Path(folder)) for table, folder in places]
    settings = Intensity.model_validate_json(snakemake.params.config)
    fit_scaling(sources, settings, Path(snakemake.output.scaling))
