import json
from pathlib import Path

from brainuad.cluster.scratch import nearby
from brainuad.config.model import MODEL
from brainuad.config.study import Compute
from brainuad.logs import job_log
from brainuad.resources.usage import metered
from brainuad.train.job import train


def main() -> None:
    config = json.loads(snakemake.params.config)
    model = MODEL.validate_python(config["model"])
    compute = Compute.model_validate(
        {**snakemake.config.get("compute", {}), **{key: config[key] for key in ("threads", "devices")}}
    )
    tags = {"study": snakemake.config["study"], "family": model.family, **snakemake.wildcards}
    with nearby([Path(array_cache) for array_cache in snakemake.input.array_caches], compute.scratch) as array_caches:
        train(array_caches, model, config["seed"], compute, Path(snakemake.output.about).parent, tags)


if __name__ == "__main__":  # not again in the processes of a training on several GPUs
    with metered(snakemake, goes_on=True), job_log(snakemake.log[0]):
        main()
