"""Slurm script, Kubernetes Job and image for training: their commands are valid, and the scripts train."""

from __future__ import annotations

import os
import re
import shlex
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from tests.infra.commands import ROOT, installed_extras, packages_of
from tests.train.days import write_store
from tests.train.runs import RECIPE, overrides, wait_for
from train.command import train

SLURM, KUBERNETES, DOCKERFILE = (ROOT / "infra/torch" / name for name in ("slurm.sh", "kubernetes.yaml", "Dockerfile"))
LONG = {"run__windows": 8000, "run__validate_every": 8000, "run__save_every": 400}
FAKES = {
    "scontrol": """
case "$1" in
    show) echo localhost ;;
    requeue) echo "$2" >> "$FAKES/requeued" ;;
esac
""",
    # One task on each of two nodes, each in its own session, as slurmd starts tasks.
    "srun": """
while [ "${1#--}" != "$1" ]; do shift; done
for node in 0 1; do
    setsid "$@" &
    echo "$!" >> "$FAKES/tasks"
done
status=0
for task in $(jobs -p); do wait "$task" || status=$?; done
exit "$status"
""",
    # Signals each task's first process and, if cgroup.conf sets SignalChildrenProcesses, all its descendants.
    "scancel": """
[ "$1" = --signal=USR1 ] && [ "$2" = "$SLURM_JOB_ID.0" ] || exit 1
tree() { echo "$1"; for child in $(cat /proc/"$1"/task/*/children); do tree "$child"; done; }
for task in $(cat "$FAKES/tasks"); do
    if [ -n "$CHILDREN_TOO" ]; then kill -USR1 $(tree "$task"); else kill -USR1 "$task"; fi
done
""",
}
"""Shell scripts that replace Slurm's commands."""


def parse_torchrun(words: list[str]) -> Any:
    """The arguments of torchrun, parsed by itself; exits for unknown ones."""
    from torch.distributed.run import get_args_parser

    return get_args_parser().parse_args(words)


def parse_train(words: list[str]) -> dict[str, Any]:
    """The arguments of `train`, parsed by our command line; raises for unknown ones."""
    app = typer.Typer()
    app.command()(train)
    return typer.main.get_command(app).make_context("train", words).params


def command_of(text: str) -> list[str]:
    """The arguments of the torchrun command in a text."""
    return shlex.split(re.search(r"torchrun (--.*?-m train.*?)(?: &)?$", text.replace("\\\n", " "), re.MULTILINE)[1])


@pytest.fixture(scope="module")
def documents() -> dict[str, dict[str, Any]]:
    return {document["kind"]: document for document in yaml.safe_load_all(KUBERNETES.read_text())}


def test_slurm_directives_match_the_torchrun_command() -> None:
    text = SLURM.read_text()
    asked = dict(line.split("=", 1) for line in re.findall(r"^#SBATCH --(\S+=\S+)$", text, re.MULTILINE))
    assert asked["ntasks-per-node"] == "1", "one torchrun per node"
    assert re.fullmatch(r"B:USR1@\d{3}", asked["signal"])
    assert "#SBATCH --requeue" in text
    given = parse_torchrun(command_of(text.replace('"$@"', "harnet10 --store s3://a --checkpoints s3://b")))
    assert (given.nnodes, given.nproc_per_node) == ("$SLURM_JOB_NUM_NODES", "$SLURM_GPUS_ON_NODE")
    assert (given.rdzv_backend, given.rdzv_endpoint, given.max_restarts) == ("c10d", "$head:$port", 3)
    assert (given.module, given.training_script) == (True, "train")
    (shown,) = re.findall(r"^#   sbatch infra/torch/slurm.sh (.*)$", text, re.MULTILINE)
    assert parse_train(shlex.split(shown))["recipe"] == "harnet10"


def test_the_job_starts_as_many_pods_as_torchrun_waits_for(documents: dict[str, dict[str, Any]]) -> None:
    job, service = documents["Job"], documents["Service"]
    assert (job["apiVersion"], service["apiVersion"]) == ("batch/v1", "v1")
    spec, pod = job["spec"], job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    *_, script = container["command"]
    given = parse_torchrun(command_of(script))
    parse_train(given.training_script_args)
    assert spec["completionMode"] == "Indexed"
    assert spec["completions"] == spec["parallelism"] == int(given.nnodes)
    assert container["resources"]["limits"]["nvidia.com/gpu"] == given.nproc_per_node
    name, port = job["metadata"]["name"], service["spec"]["ports"][0]["port"]
    assert given.rdzv_endpoint == f"{name}-0.{pod['subdomain']}:{port}"
    assert pod["subdomain"] == service["metadata"]["name"]
    assert service["spec"]["clusterIP"] == "None"
    assert service["spec"]["publishNotReadyAddresses"] is True, "the rendezvous happens before pods are ready"
    assert service["spec"]["selector"] == {"job-name": name}
    assert pod["restartPolicy"] == "Never", "required by podFailurePolicy"
    assert pod["terminationGracePeriodSeconds"] > 30, "torchrun waits 30 s for its processes"
    assert {volume["name"] for volume in pod["volumes"]} == {mount["name"] for mount in container["volumeMounts"]}
    known = {variable["name"] for variable in container["env"]} | {"JOB_COMPLETION_INDEX"}
    assert set(re.findall(r"\$\(?\(?([A-Z_]{3,})", script)) <= known


def test_torchrun_restarts_do_not_share_the_old_rendezvous_store(documents: dict[str, dict[str, Any]]) -> None:
    (container,) = documents["Job"]["spec"]["template"]["spec"]["containers"]
    assert {"name": "TORCH_DISABLE_SHARE_RDZV_TCP_STORE", "value": "1"} in container["env"]
    assert "export TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1" in SLURM.read_text()


def test_the_image_copies_existing_files_and_has_the_name_in_the_job(documents: dict[str, dict[str, Any]]) -> None:
    text = DOCKERFILE.read_text()
    ignored = (ROOT / ".dockerignore").read_text()
    for copied in re.findall(r"^COPY (.+) \S+$", text, re.MULTILINE):
        for name in copied.split():
            assert (ROOT / name).exists()
            assert f"!{name}" in ignored
    assert {"torch", "deepspeed", "safetensors", "s3fs", "obstore"} <= packages_of(installed_extras(text))
    (container,) = documents["Job"]["spec"]["template"]["spec"]["containers"]
    assert f"-t {container['image']} ." in text


def environment(folder: Path) -> dict[str, str]:
    """The environment of a job of two nodes, with substitutes for Slurm's commands first on the path."""
    folder.mkdir()
    for name, text in FAKES.items():
        fake = folder / name
        fake.write_text(f"#!/usr/bin/env bash{text}")
        fake.chmod(fake.stat().st_mode | stat.S_IXUSR)
    path = os.pathsep.join((str(folder), str(Path(sys.executable).parent), os.environ["PATH"]))
    slurm = {"SLURM_JOB_ID": str(os.getpid()), "SLURM_JOB_NODELIST": "localhost", "SLURM_JOB_NUM_NODES": "2"}
    slurm |= {"SLURM_GPUS_ON_NODE": "1", "SLURM_CPUS_PER_TASK": "1"}
    return os.environ | slurm | {"PATH": path, "FAKES": str(folder), "CUDA_VISIBLE_DEVICES": ""}


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("children_too", ["", "yes"], ids=["tasks", "children-too"])
def test_the_slurm_job_saves_before_its_time_limit_and_resumes_when_requeued(
    children_too: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of two torchruns represents a node. The script gets the signal that Slurm sends before the limit."""
    monkeypatch.setenv("CHILDREN_TOO", children_too)
    store = write_store(str(tmp_path / "store"), people=5, days=2).folder.url
    flags = [part for override in overrides(LONG) for part in ("--set", override)]
    command = ["bash", str(SLURM), RECIPE, "--store", store, "--checkpoints", str(tmp_path / "out"), *flags]

    def start(number: int) -> subprocess.Popen[str]:
        return subprocess.Popen(
            command,
            env=environment(tmp_path / f"slurm-{number}"),
            cwd=ROOT,
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    first = start(1)
    wait_for(tmp_path / "out", 1)
    first.send_signal(signal.SIGUSR1)
    _, printed = first.communicate(timeout=200)
    assert first.returncode == 0, printed
    assert printed.count("stopped by signal 10") == 1
    assert "Traceback" not in printed
    assert (tmp_path / "slurm-1" / "requeued").read_text().split() == [str(os.getpid())]
    second = start(2)
    _, printed = second.communicate(timeout=300)
    assert second.returncode == 0, printed
    assert "resuming after" in printed
    assert "done: 8,000 windows seen" in printed
    assert not (tmp_path / "slurm-2" / "requeued").exists()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_pods_script_trains_as_two_nodes_on_loopback(documents: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    """The container's script with this machine's addresses, sizes and folders."""
    store = write_store(str(tmp_path / "store"), people=5, days=2).folder.url
    (container,) = documents["Job"]["spec"]["template"]["spec"]["containers"]
    *_, script = container["command"]
    flags = " ".join(f"--set {override}" for override in overrides({}))
    for there, here in (
        ("persondays-train-0.persondays-train:29500", f"localhost:{20_000 + os.getpid() % 20_000}"),
        ("--nproc-per-node=8", "--nproc-per-node=1"),
        ("harnet10 --store s3://windows", f"demo --store {store} {flags}"),
        ("s3://checkpoints/harnet10", str(tmp_path / "out")),
    ):
        assert there in script
        script = script.replace(there, here)
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    shared = os.environ | {variable["name"]: variable.get("value", "127.0.0.1") for variable in container["env"]}
    shared |= {"PATH": path, "CUDA_VISIBLE_DEVICES": ""}
    pods = []
    for index in ("1", "0"):  # the pod that hosts the rendezvous starts last
        command, own = [*container["command"][:-1], script], shared | {"JOB_COMPLETION_INDEX": index}
        pods.append(subprocess.Popen(command, env=own, cwd=ROOT, stderr=subprocess.PIPE, text=True))
        time.sleep(2)
    printed = [pod.communicate(timeout=300)[1] for pod in pods]
    assert [pod.returncode for pod in pods] == [0, 0], printed
    assert sum(text.count("done: 480 windows seen") for text in printed) == 1
    assert "may connect to the old rendezvous store" not in "".join(printed)
