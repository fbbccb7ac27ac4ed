import os
from pathlib import Path

from brainuad.config.load import build_study
from brainuad.download.job import download
from brainuad.logs import job_log
from brainuad.resources.usage import metered

with metered(snakemake), job_log(snakemake.log[0]):
    study = build_study(snakemake.config, os.environ["BRAINUAD_STUDY"])
    label = snakemake.wildcards.dataset
    download(label, study.scan_sets()[label], Path(snakemake.output.table), workers=snakemake.threads)
