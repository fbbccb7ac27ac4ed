from brainuad.formats import scans
from brainuad.logs import job_log
from brainuad.resources.usage import metered

with metered(snakemake), job_log(snakemake.log[0]):
    scans.write(snakemake.output.table, [row for table in snakemake.input for row in scans.read(table)])
