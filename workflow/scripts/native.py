from pathlib import Path

from brainuad.logs import job_log
from brainuad.postprocess.native import native
from brainuad.resources.usage import metered

with metered(snakemake), job_log(snakemake.log[0]):
    native(
        maps=Path(snakemake.input.maps),
        masks=Path(snakemake.input.masks),
        table=Path(snakemake.input.table),
        preprocessed=Path(snakemake.params.folder),
        out=Path(snakemake.output.folder),
    )
