from pathlib import Path

from brainuad.formats.usage import metered
from brainuad.postprocess.native import native

with metered(snakemake):
    native(
        maps=Path(snakemake.input.maps),
        masks=Path(snakemake.input.masks),
        table=Path(snakemake.input.table),
        preprocessed=Path(snakemake.params.folder),
        out=Path(snakemake.output.folder),
    )
