from pathlib import Path

from brainuad.errors import reported
from brainuad.preprocess.job import summarise_quality

with reported(snakemake.log[0]):
    folders = {Path(folder).name: Path(folder) for folder in snakemake.input.folders}
    summarise_quality(Path(snakemake.input.table), folders, Path(snakemake.output.folder))
