#!/usr/bin/env bash
# A pretraining on Slurm: torchrun on every node, started by srun.
#
#   sbatch infra/torch/slurm.sh harnet10 --store s3://windows --checkpoints s3://checkpoints/harnet10
#
# What follows the script's name are the arguments of `persondays train`. Five minutes before the time is up, or before
# the job is pre-empted where Slurm is set to say so, all processes save and leave, and the job queues again; started
# again, it goes on from there. A process or node that dies costs the steps since the last save: torchrun starts
# processes again, Slurm the job. Yours to change: nodes, GPUs, time, and how the environment is entered.
#SBATCH --job-name=persondays-train
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=96
#SBATCH --time=24:00:00
#SBATCH --signal=B:USR1@300
#SBATCH --requeue
#SBATCH --open-mode=append

# Without it, processes that torchrun starts again may meet at the store of those that died, and hang.
export TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1

head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
port=$((20000 + SLURM_JOB_ID % 20000))

# Slurm tells a node's first process alone, this shell, or all of them, as its cgroup.conf has it. SIGUSR1 is for the
# processes that train; torchrun, which does not know it, is started deaf to it.
on_each_node='
    (trap "" USR1; exec "$@") &
    torchrun=$!
    trap "pkill -USR1 -P $torchrun" USR1
    trap "kill $torchrun" TERM
    while kill -0 "$torchrun" 2>/dev/null; do
        wait "$torchrun"
        status=$?
    done
    exit "${status:-1}"'
srun --cpus-per-task="$SLURM_CPUS_PER_TASK" bash -c "$on_each_node" train \
    torchrun --nnodes="$SLURM_JOB_NUM_NODES" --nproc-per-node="$SLURM_GPUS_ON_NODE" --max-restarts=3 \
    --rdzv-backend=c10d --rdzv-endpoint="$head:$port" --rdzv-id="$SLURM_JOB_ID" \
    -m train "$@" &
step=$!

again=""
trap 'again=yes; scancel --signal=USR1 "$SLURM_JOB_ID.0"' USR1
trap : TERM # sent to all: the processes that train save, this shell waits for them
while kill -0 "$step" 2>/dev/null; do
    wait "$step"
    status=$?
done

if [ -n "$again" ]; then
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "${status:-1}"
