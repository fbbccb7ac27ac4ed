from pathlib import Path

from brainuad.errors import reported
from brainuad.formats import batch
from brainuad.preprocess.job import summarise_quality

with reported(snakemake.log[0]):
    folders = {scan: Path(snakemake.params.folder) / scan for scan in batch.read(snakemake.input.marks)}
    summarise_quality(Path(snakemake.input.table), folders, Path(snakemake.output.folder))
