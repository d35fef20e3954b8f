"""The cluster file and the RayJob: valid by Ray's schema and both command lines, with enough memory for every task."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from ingest.run.ingest_task import Assignment
from ingest.run.sources import Source
from tests.infra.commands import ROOT, installed_extras, packages_of, parse_ingest, parse_ray, shown

CLUSTER, RAYJOB, DOCKERFILE = (
    ROOT / "infra" / name for name in ("ray/cluster.yaml", "kuberay/rayjob.yaml", "image/Dockerfile")
)
PAGES = (ROOT / "README.md", ROOT / "docs" / "ingest.md", ROOT / "infra" / "README.md", CLUSTER)
RECORDING_BYTES = 260_000_000
RAY_OVERHEAD_BYTES = 1.5e9
"""Memory of the raylet, agents and idle workers of a node."""
UNITS = {"": 1.0, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}


def quantity(text: str) -> float:
    """A Kubernetes quantity as a number; raises KeyError or AttributeError if the text is not one."""
    number, unit = re.fullmatch(r"(\d+(?:\.\d+)?)([a-zA-Z]*)", str(text)).groups()
    return float(number) * UNITS[unit]


def task_bytes() -> float:
    """The memory that a task declares for one recording of 7 days."""
    return Assignment(Source("a.cwa", "0" * 64, RECORDING_BYTES, ""), first_slot=0, slots=8).memory


@pytest.fixture(scope="module")
def cluster() -> dict[str, Any]:
    return yaml.safe_load(CLUSTER.read_text())


@pytest.fixture(scope="module")
def spec() -> dict[str, Any]:
    job = yaml.safe_load(RAYJOB.read_text())
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    return job["spec"]


@pytest.fixture(scope="module")
def ray_version() -> str:
    return re.search(r"^ray==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)[1]


def pods(spec: dict[str, Any]) -> dict[str, tuple[dict[str, str], dict[str, Any]]]:
    """Start parameters and pod of the head and of every group of workers."""
    groups = {"head": spec["rayClusterSpec"]["headGroupSpec"]}
    groups |= {group["groupName"]: group for group in spec["rayClusterSpec"]["workerGroupSpecs"]}
    return {name: (group["rayStartParams"], group["template"]["spec"]) for name, group in groups.items()}


def test_the_cluster_file_is_accepted_by_rays_launcher(cluster: dict[str, Any]) -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    prepared = prepare_config(cluster)
    validate_config(prepared)
    assert {name: kind["max_workers"] for name, kind in prepared["available_node_types"].items()} == {
        "head": 0,
        "worker": cluster["max_workers"],
    }


def test_rays_launcher_refuses_a_misspelt_setting(cluster: dict[str, Any]) -> None:
    import jsonschema
    from ray.autoscaler._private.util import prepare_config, validate_config

    with pytest.raises(jsonschema.ValidationError):
        validate_config(prepare_config({**cluster, "max_worker": 1}))


def test_the_head_runs_no_tasks_and_workers_are_spot_machines_started_on_demand(cluster: dict[str, Any]) -> None:
    head, worker = (cluster["available_node_types"][name] for name in ("head", "worker"))
    assert cluster["head_node_type"] == "head"
    assert head["resources"]["CPU"] == 0
    assert "InstanceMarketOptions" not in head["node_config"]
    assert worker["min_workers"] == 0
    assert worker["node_config"]["InstanceMarketOptions"]["MarketType"] == "spot"
    assert worker["resources"]["memory"] >= worker["resources"]["CPU"] * task_bytes()


def test_start_commands_are_accepted_by_ray(cluster: dict[str, Any]) -> None:
    head, worker = (
        [parse_ray(shlex.split(command)) for command in cluster[f"{kind}_start_ray_commands"]]
        for kind in ("head", "worker")
    )
    assert head[-1]["head"]
    assert head[-1]["num_cpus"] == 0
    assert head[-1]["autoscaling_config"]
    assert worker[-1]["address"] == "$RAY_HEAD_IP:6379"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_in_pages_are_accepted_by_ray_and_ingest(page: Path) -> None:
    submitted = 0
    for words in shown(page, "ray"):
        parsed = parse_ray(words)
        if words[1:3] == ["job", "submit"]:
            assert parsed["working_dir"] == "."
            parse_ingest(list(parsed["entrypoint"]))
            submitted += 1
        for name in ("cluster_config_file", "source"):
            if str(parsed.get(name, "")).startswith("infra/"):
                assert (ROOT / parsed[name]).exists()
    assert submitted


def test_unknown_flags_are_refused() -> None:
    with pytest.raises(click.UsageError):
        parse_ray(["ray", "job", "submit", "--working-dirs", "."])
    with pytest.raises(Exception, match="recording_folder"):
        parse_ingest(["python", "-m", "ingest", "--recording_folder", "x"])


def test_the_flag_workers_equals_the_largest_number_of_cpus(cluster: dict[str, Any], spec: dict[str, Any]) -> None:
    (submit,) = (words for words in shown(CLUSTER, "ray") if words[1:3] == ["job", "submit"])
    asked = parse_ingest(list(parse_ray(submit)["entrypoint"]))["workers"]
    assert asked == cluster["max_workers"] * cluster["available_node_types"]["worker"]["resources"]["CPU"]
    asked = parse_ingest(shlex.split(spec["entrypoint"]))["workers"]
    (group,) = spec["rayClusterSpec"]["workerGroupSpecs"]
    assert asked == group["maxReplicas"] * int(group["rayStartParams"]["num-cpus"])


def test_the_rayjob_runs_ingest_and_retries_without_intervention(spec: dict[str, Any]) -> None:
    flags = parse_ingest(shlex.split(spec["entrypoint"]))
    assert {"recordings", "store", "id_regex", "workers"} <= set(flags)
    assert spec["backoffLimit"] > 0
    assert spec["shutdownAfterJobFinishes"] is True
    assert spec["rayClusterSpec"]["enableInTreeAutoscaling"] is True
    assert all(pod["restartPolicy"] == "Never" for _, pod in pods(spec).values())  # as autoscaler v2 requires


def test_start_parameters_are_options_of_ray_start(spec: dict[str, Any]) -> None:
    for parameters, _ in pods(spec).values():
        assert all(isinstance(value, str) for value in parameters.values())
        parse_ray(["ray", "start", *(f"--{name}={value}" for name, value in parameters.items())])
    assert pods(spec)["head"][0]["num-cpus"] == "0"


def test_workers_have_enough_memory_for_a_task_on_every_cpu(spec: dict[str, Any]) -> None:
    for name, (parameters, pod) in pods(spec).items():
        (container,) = pod["containers"]
        asked, most = (
            {kind: quantity(value) for kind, value in container["resources"][which].items()}
            for which in ("requests", "limits")
        )
        assert all(asked[kind] <= most[kind] for kind in asked)
        assert asked["memory"] == most["memory"]
        if name == "head":
            # Ray uses the pod's limit as the head's memory, which has to exceed what a task declares.
            assert most["memory"] >= 2 * task_bytes()
            continue
        memory, cpus = int(parameters["memory"]), int(parameters["num-cpus"])
        assert cpus <= most["cpu"]
        assert memory >= cpus * task_bytes()
        assert most["memory"] >= memory + int(parameters["object-store-memory"]) + RAY_OVERHEAD_BYTES


def test_credentials_come_from_kubernetes_secrets_and_only_the_head_has_the_key(spec: dict[str, Any]) -> None:
    for name, (_, pod) in pods(spec).items():
        (container,) = pod["containers"]
        assert [source["secretRef"]["name"] for source in container["envFrom"]] == ["persondays-s3"]
        held = {variable["name"]: variable for variable in container["env"]}
        assert ("PERSONDAYS_KEY" in held) == (name == "head")
        if name == "head":
            assert set(held["PERSONDAYS_KEY"]) == {"name", "valueFrom"}
        assert not any("AWS" in variable for variable in held)


def test_every_file_names_the_same_version_of_ray(
    cluster: dict[str, Any], spec: dict[str, Any], ray_version: str
) -> None:
    import ray

    images = {cluster["docker"]["image"], *(pod["containers"][0]["image"] for _, pod in pods(spec).values())}
    assert len(images) == 1
    (image,) = images
    assert image.endswith(f"-ray{ray_version}")
    assert image in DOCKERFILE.read_text()
    assert spec["rayClusterSpec"]["rayVersion"] == ray_version == ray.__version__


def test_the_image_installs_the_packages_of_ingest_and_not_torch() -> None:
    text, ignored = DOCKERFILE.read_text(), (ROOT / ".dockerignore").read_text()
    names = packages_of(installed_extras(text))
    assert {"ray", "zarr", "deltalake", "s3fs", "obstore", "isal", "numba", "typer"} <= names
    assert not {"torch", "deepspeed"} & names
    for copied in re.findall(r"^COPY (.+) \S+$", text, re.MULTILINE):
        for name in copied.split():
            assert (ROOT / name).exists()
            assert f"!{name}" in ignored
