from brainuad.errors import reported
from brainuad.formats import scans

with reported(snakemake.log[0]):
    scans.write(snakemake.output.table, [row for table in snakemake.input for row in scans.read(table)])
