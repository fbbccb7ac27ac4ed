from pathlib import Path

from brainuad.errors import reported
from brainuad.postprocess.native import native

with reported(snakemake.log[0]):
    native(
        maps=Path(snakemake.input.maps),
        masks=Path(snakemake.input.masks),
        table=Path(snakemake.input.table),
        preprocessed=Path(snakemake.params.folder),
        out=Path(snakemake.output.folder),
    )
