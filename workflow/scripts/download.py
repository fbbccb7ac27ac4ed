from pathlib import Path

from brainuad.config.load import build_study
from brainuad.download.job import download
from brainuad.errors import reported
from brainuad.plan import Plan

with reported(snakemake.log[0]):
    plan = Plan(build_study(snakemake.config, "config.yaml"))
    label = snakemake.wildcards.dataset
    table = Path(snakemake.output.table)
    download(label, plan.study.scan_sets()[label], plan.scans[label], table, workers=snakemake.threads)
