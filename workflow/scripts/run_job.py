from brainuad.jobs.warm import run_warm

if __name__ == "__main__" and not run_warm(snakemake):  # not again in the processes of a training on several GPUs
    from brainuad.jobs.run import run_from_snakemake

    run_from_snakemake(snakemake)
