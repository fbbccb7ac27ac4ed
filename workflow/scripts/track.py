import json
from pathlib import Path

from brainuad.formats.files import write_json
from brainuad.logs import job_log
from brainuad.resources.usage import metered
from brainuad.track.job import track

with metered(snakemake), job_log(snakemake.log[0]):
    mark = Path(snakemake.output.mark)
    folder, attempts = mark.parent, mark.with_name("track.attempts")
    config = json.loads(snakemake.params.config)
    study, runs = snakemake.config["study"], [tuple(run) for run in config["runs"]]
    if not track(study, folder, runs, folder.parent / "mlflow", config["uri"], mark):
        write_json(mark, {"complete": False})
        attempts.write_text(str(config["attempt"] + 1))
