"""What brainuad knows of Slurm: the site, the queue, the job it runs in, and what became of jobs."""
