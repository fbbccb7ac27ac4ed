import json
from pathlib import Path

from brainuad.formats.usage import metered
from brainuad.preprocess.batch import preprocess_scans

with metered(snakemake):
    mark, config, inputs = Path(snakemake.output.mark), json.loads(snakemake.params.config), {}
    for scan in config["scans"]:
        own = {name: path for name, path in snakemake.input.items() if name.startswith(f"{scan}/") or "/" not in name}
        inputs[scan] = {name.removeprefix(f"{scan}/"): path for name, path in own.items()}
    preprocess_scans(config, snakemake.params.code, inputs, folder=mark.parents[1], mark=mark)
