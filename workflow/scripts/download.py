import os
from pathlib import Path

from brainuad.config.load import build_study
from brainuad.download.job import download
from brainuad.formats.usage import metered

with metered(snakemake):
    study = build_study(snakemake.config, os.environ["BRAINUAD_STUDY"])
    label = snakemake.wildcards.dataset
    download(label, study.scan_sets()[label], Path(snakemake.output.table), workers=snakemake.threads)
