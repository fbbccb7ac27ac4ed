import os
from pathlib import Path

from brainuad.config.load import build_study
from brainuad.logs import job_log
from brainuad.plan import Plan
from brainuad.report.job import report
from brainuad.resources.usage import metered

with metered(snakemake), job_log(snakemake.log[0]):
    plan = Plan(build_study(snakemake.config, os.environ["BRAINUAD_STUDY"]))
    preprocessed = plan.root / "preprocess" / plan.study.recipe_name
    report(plan.study, plan.folder, preprocessed, Path(snakemake.output.page).parent, plan.decisions)
