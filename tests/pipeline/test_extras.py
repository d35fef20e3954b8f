"""A missing package of an extra ends a command with one message; any other missing module shows its traceback."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.extras import EXTRAS, missing_extra
from tests.infra.commands import ROOT, optional, project_table

STORE = ("--store", "nowhere", "--checkpoints", "nowhere")


ABSENT = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            raise ModuleNotFoundError("No module named " + name, name=name)

sys.meta_path.insert(0, Absent())
sys.argv = ["persondays", *{arguments!r}]
from pipeline.cli import main
main()
"""


def without(module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `persondays` in a process that cannot import a module."""
    code = ABSENT.format(module=module, arguments=arguments)
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("module", "extra", "arguments"),
    [
        ("torch", "train", ("train", "demo", *STORE)),
        ("torch", "train", ("bench-stream", "--store", "nowhere")),
        ("torch", "train", ("export", "--checkpoint", "nowhere", "--out", "nowhere")),
        ("torch", "train", ("evaluate", "--model", "nowhere", "--labelled", "nowhere")),
        ("safetensors", "train", ("train", "demo", *STORE)),
        ("s3fs", "s3", ("inspect", "s3://bucket/store")),
        ("s3fs", "s3", ("verify", "s3://bucket/store")),
    ],
)
def test_a_missing_package_names_the_extra_that_installs_it(
    module: str, extra: str, arguments: tuple[str, ...]
) -> None:
    done = without(module, *arguments)
    assert done.returncode == 1
    assert done.stderr == (
        f"error: this needs {module}, which is not installed. Install it with: pip install 'persondays[{extra}]'\n"
    )


def test_ingest_without_ray_names_the_extra(tmp_path: Path) -> None:
    recordings, key = tmp_path / "recordings", tmp_path / "key"
    for words in (("simulate", recordings, "--participants", "1", "--days", "0.01"), ("new-key", key)):
        subprocess.run([sys.executable, "-m", "pipeline", *words], cwd=ROOT, check=True, capture_output=True)
    flags = ("--recordings", str(recordings), "--store", str(tmp_path / "store"), "--key-file", str(key))
    done = without("ray", "ingest", *flags)
    assert done.returncode == 1
    assert "pip install 'persondays[ingest]'" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["nonsense", "torch.nonsense", None])
def test_another_missing_module_is_a_bug_and_not_a_missing_extra(name: str | None) -> None:
    assert missing_extra(ModuleNotFoundError("No module", name=name)) is None


def test_the_table_names_extras_that_have_the_package() -> None:
    packages = {extra: " ".join(optional(project_table(), extra)) for extra in set(EXTRAS.values())}
    installed_by = EXTRAS | {"s3fs": "s3", "scikit-learn": "evaluate"}
    for module in ("botocore", "sklearn"):  # of s3fs and scikit-learn
        del installed_by[module]
    assert all(module in packages[extra] for module, extra in installed_by.items())
