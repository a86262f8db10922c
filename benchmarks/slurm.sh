#!/bin/bash
# sbatch benchmarks/slurm.sh: train with one worker on each of two machines of a Slurm cluster.
# The scheduler and the server run on the machine of the first worker.  This is an example: adapt
# the first lines, the environment and the options of train.  The machines must be in a private
# network: see "Several devices, several workers" in the README.
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --time=02:00:00
#SBATCH --signal=TERM@120
# (Two minutes before the end the workers get SIGTERM: they save a checkpoint and exit with 143.)

. .venv/bin/activate
num_workers=${SLURM_NTASKS:-2}
host=$(hostname -I | cut -d ' ' -f 1)  # the first address of this machine
port=$((10000 + SLURM_JOB_ID % 20000))

# Set the variables of a role, for this shell and the processes that it starts.
set_role() {
    eval "$(python -m d2l_seq2seq.launch -n "$num_workers" -s 1 --host "$host" --port "$port" \
            --print-env "$1")"
}

for role in scheduler server; do
    (set_role "$role"; exec python -m d2l_seq2seq.launch.server) &
done
trap 'kill -KILL $(jobs -p) 2>/dev/null' EXIT

set_role worker
# Without --kill-on-bad-exit the other workers would wait forever for a worker that has failed.
srun --kill-on-bad-exit=1 python -m d2l_seq2seq.train --kvstore dist_sync --out runs/slurm
