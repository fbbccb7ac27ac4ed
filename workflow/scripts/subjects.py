from brainuad.formats import scans
from brainuad.formats.usage import metered

with metered(snakemake):
    scans.write(snakemake.output.table, [row for table in snakemake.input for row in scans.read(table)])
