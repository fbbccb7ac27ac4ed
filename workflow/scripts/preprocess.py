import json
from pathlib import Path

from brainuad.config.recipe import Preprocess
from brainuad.errors import reported
from brainuad.formats import scans
from brainuad.preprocess.subject import preprocess

with reported(snakemake.log[0]):
    config = json.loads(snakemake.params.config)
    about = config["about"]
    row = scans.find(snakemake.input.table, snakemake.wildcards.scan)
    preprocess(
        scan_paths={about["modality"]: Path(row.image)},
        masks={"lesion": Path(row.mask)} if row.mask else {},
        modality=about["modality"],
        subject=row.scan,
        settings=Preprocess.model_validate(config["recipe"]),
        out=Path(snakemake.output.folder),
        healthy=about["healthy"],
    )
