from pathlib import Path

from brainuad.formats import batch
from brainuad.formats.usage import metered
from brainuad.preprocess.job import summarise_quality

with metered(snakemake):
    folders = {scan: Path(snakemake.params.folder) / scan for scan in batch.read(snakemake.input.marks)}
    summarise_quality(Path(snakemake.input.table), folders, Path(snakemake.output.folder))
