"""Slurm: the cluster's partitions, the job queue, the allocation of a job, and the outcome of jobs."""
