import os
from pathlib import Path

from brainuad.config.load import build_study
from brainuad.download.job import fetch
from brainuad.errors import reported

with reported(snakemake.log[0]):
    study = build_study(snakemake.config, os.environ["BRAINUAD_STUDY"])
    label = snakemake.wildcards.dataset
    fetch(label, study.datasets[label], Path(snakemake.output.note))
