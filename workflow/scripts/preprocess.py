import json
from pathlib import Path

from brainuad.config.recipe import Preprocess
from brainuad.errors import reported
from brainuad.formats import scans
from brainuad.preprocess.subject import preprocess

with reported(snakemake.log[0]):
    config, scan = json.loads(snakemake.params.config), snakemake.wildcards.scan
    about, files = config["about"], dict(snakemake.input.items())
    recipe = {**config["recipe"], "template": files.get("template", config["recipe"]["template"])}
    if "table" in files:
        files = scans.find(files["table"], scan).files()
    guide = {about["register_with"]: Path(files["guide"])} if "guide" in files else {}
    preprocess(
        scan_paths={about["modality"]: Path(files["image"]), **guide},
        masks={"lesion": Path(files["mask"])} if "mask" in files else {},
        modality=about["modality"],
        subject=scan,
        settings=Preprocess.model_validate(recipe),
        out=Path(snakemake.output.folder),
        healthy=about["healthy"],
        register_with=next(iter(guide), None),
    )
