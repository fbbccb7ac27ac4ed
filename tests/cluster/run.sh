#!/usr/bin/env bash
# What `make test-cluster` runs: Slurm installed where it is missing, a one-node cluster in a folder of its own,
# the tests of this folder with the scenarios, and the cluster stopped whatever happens.
# Arguments go to pytest, e.g. `-k requeue`. BRAINUAD_CLUSTER_LOGS=<folder> keeps Slurm's own logs;
# BRAINUAD_CLUSTER_REFERENCE=<folder> takes an earlier unbroken run of the same code.
set -euo pipefail
cd "$(dirname "$0")/../.."
export PATH="$PATH:/usr/sbin:/sbin"
PACKAGES="slurmctld slurmd slurm-client munge slurmdbd mariadb-server"
COMMANDS="munged mungekey slurmctld slurmd sbatch squeue scontrol srun slurmdbd mariadbd sacct"

missing() { for c in $COMMANDS; do command -v "$c" >/dev/null || printf '%s ' "$c"; done; }
fail() { printf 'error: %s\n' "$@" >&2; exit 1; }

if [ -n "$(missing)" ]; then
  by_hand="  do    install Slurm (Debian: apt-get install $PACKAGES) and type make test-cluster again"
  command -v apt-get >/dev/null || fail "Slurm is missing ($(missing)) and there is no apt-get here" "$by_hand"
  if [ "$(id -u)" = 0 ]; then sudo=(); elif command -v sudo >/dev/null; then sudo=(sudo)
  else fail "Slurm is missing ($(missing)) and only root can install it" "$by_hand"; fi
  echo "installing $PACKAGES" >&2
  # The packages' own services are not started: the cluster of the tests has a configuration of its own.
  install=("${sudo[@]}" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get)
  { "${install[@]}" -q update && "${install[@]}" -q install -y --no-install-recommends $PACKAGES; } >&2 \
    || fail "apt-get could not install $PACKAGES" "$by_hand"
  [ -z "$(missing)" ] || fail "still missing after the installation: $(missing)" "$by_hand"
fi

state=$(mktemp -d "${TMPDIR:-/tmp}/brainuad-slurm.XXXXXX")
stop() {
  status=$?
  [ -z "${BRAINUAD_CLUSTER_LOGS:-}" ] || { mkdir -p "$BRAINUAD_CLUSTER_LOGS"; cp -r "$state/log/." "$BRAINUAD_CLUSTER_LOGS"; }
  tests/cluster/down.sh --purge "$state" || status=1
  exit "$status"
}
trap stop EXIT
trap 'exit 130' INT TERM
# Two processors, one stand-in GPU, accounts, steps over their memory killed; ended jobs stay to be asked about. Jobs
# of the partition `urgent` have running jobs of the others requeued.
urgent="PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
PartitionName=urgent Nodes=$(hostname -s) Default=NO PriorityTier=10 MaxTime=60 State=UP"
SLURM_CPUS=2 SLURM_MEM_MB=16000 SLURM_MEMKILL=1 SLURM_MINJOBAGE=7200 SLURM_ACCT=1 \
  SLURM_EXTRA_CONF=$urgent tests/cluster/up.sh "$state" >"$state/exports.sh"
. "$state/exports.sh"
export BRAINUAD_CLUSTER="$state" OMP_NUM_THREADS=1
unset SLURM_JOB_ID
echo "the reference run takes some minutes, then the scenarios follow" >&2
pytest tests/cluster -p no:cacheprovider -s -v --durations=0 --durations-min=5 "$@"
