import json
from pathlib import Path

from brainuad.config.recipe import Preprocess
from brainuad.errors import reported
from brainuad.formats import scans
from brainuad.preprocess.subject import preprocess

with reported(snakemake.log[0]):
    config, scan = json.loads(snakemake.params.config), snakemake.wildcards.scan
    about, files = config["about"], dict(snakemake.input.items())
    if "table" in files:
        files = scans.find(files["table"], scan).files()
    preprocess(
        scan_paths={about["modality"]: Path(files["image"])},
        masks={"lesion": Path(files["mask"])} if "mask" in files else {},
        modality=about["modality"],
        subject=scan,
        settings=Preprocess.model_validate(config["recipe"]),
        out=Path(snakemake.output.folder),
        healthy=about["healthy"],
    )
