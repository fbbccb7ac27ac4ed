import os
from pathlib import Path

from brainuad.config.load import build_study
from brainuad.formats.usage import metered
from brainuad.plan import Plan
from brainuad.report.job import report

with metered(snakemake):
    plan = Plan(build_study(snakemake.config, os.environ["BRAINUAD_STUDY"]))
    preprocessed = plan.root / "preprocess" / plan.study.recipe_name
    report(plan.study, plan.folder, preprocessed, Path(snakemake.output.page).parent, plan.decisions)
