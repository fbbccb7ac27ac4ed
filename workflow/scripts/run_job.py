from brainuad.jobs.run import run_from_snakemake

if __name__ == "__main__":  # not again in the processes of a training on several GPUs
    run_from_snakemake(snakemake)
