import os
from pathlib import Path

from brainuad.config.load import build_study
from brainuad.errors import reported
from brainuad.plan import Plan
from brainuad.report.job import report

with reported(snakemake.log[0]):
    plan = Plan(build_study(snakemake.config, os.environ["BRAINUAD_STUDY"]))
    preprocessed = plan.root / "preprocess" / plan.study.recipe_name
    report(plan.study, plan.folder, preprocessed, Path(snakemake.output.page).parent, plan.decisions)
