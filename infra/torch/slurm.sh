#!/usr/bin/env bash
# Pretraining on Slurm: srun starts torchrun on every node.
#
#   sbatch infra/torch/slurm.sh harnet10 --store s3://windows --checkpoints s3://checkpoints/harnet10
#
# The arguments after the script's name are those of `persondays train`. Five minutes before its time limit, or before
# pre-emption if Slurm is configured to signal it, all processes save and exit, and the job is requeued; it then resumes.
# A process or node that dies costs the steps since the last save: torchrun restarts processes, Slurm restarts the job.
# Adjust: nodes, GPUs, time, and how to activate the environment.
#SBATCH --job-name=persondays-train
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=96
#SBATCH --time=24:00:00
#SBATCH --signal=B:USR1@300
#SBATCH --requeue
#SBATCH --open-mode=append

# Without it, processes that torchrun restarts may connect to the old rendezvous store and hang.
export TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1

# Gloo binds to the interface that the host's name resolves to, and NCCL to the first that it finds. If nodes cannot reach
# each other there, name the right one (see `ip addr`): NETWORK=ib0 sbatch infra/torch/slurm.sh ...
if [ -n "${NETWORK:-}" ]; then
    export GLOO_SOCKET_IFNAME="$NETWORK" NCCL_SOCKET_IFNAME="$NETWORK"
fi

head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
port=$((20000 + SLURM_JOB_ID % 20000))

# Depending on cgroup.conf, Slurm signals only a node's first process, this shell, or all processes. SIGUSR1 is meant for
# the training processes; torchrun does not handle it, so it is started with the signal ignored.
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
trap : TERM # sent to all: the training processes save, and this shell waits for them
while kill -0 "$step" 2>/dev/null; do
    wait "$step"
    status=$?
done

if [ -n "$again" ]; then
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "${status:-1}"
