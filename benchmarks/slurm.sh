#!/bin/bash
# sbatch benchmarks/slurm.sh: a training by a worker on each of two machines of a Slurm cluster.
# The scheduler and the server run beside the first worker.  An example: fit the first lines, the
# environment and train's options to yours.  The machines have to be in a private network: see
# "Several devices, several workers" in the README.
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --time=02:00:00
#SBATCH --signal=TERM@120
# (Two minutes before the end the workers get SIGTERM: they save and exit with 143.)

. .venv/bin/activate
num_workers=${SLURM_NTASKS:-2}
host=$(hostname -I | cut -d ' ' -f 1)  # the first address of this machine
port=$((10000 + SLURM_JOB_ID % 20000))

# In this shell and what it starts: the variables of a role.
become() {
    eval "$(python -m d2l_seq2seq.launch -n "$num_workers" -s 1 --host "$host" --port "$port" \
            --print-env "$1")"
}

for role in scheduler server; do
    (become "$role"; exec python -m d2l_seq2seq.launch.cluster) &
done
trap 'kill -KILL $(jobs -p) 2>/dev/null' EXIT

become worker
# Where one worker fails, the others would wait for it without end.
srun --kill-on-bad-exit=1 python -m d2l_seq2seq.train --kvstore dist_sync --out runs/slurm
