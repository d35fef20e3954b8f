"""The names for other people's code: light to import, typed, and with the error of a missing extra."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from tests.test_arrows import HEAVY

ROOT = Path(__file__).parents[1]
PACKAGES = ("pipeline", "ingest", "train")


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)


@pytest.mark.parametrize("package", PACKAGES)
def test_public_names_exist_and_are_documented(package: str) -> None:
    module = import_module(package)
    for name in module.__all__:
        assert getattr(module, name).__doc__, name
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        _ = module.nonsense


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_is_typed(package: str) -> None:
    assert (ROOT / package / "py.typed").is_file()


def test_importing_a_package_imports_nothing_heavy() -> None:
    done = run(f"import sys, pipeline, ingest, train\nprint([name for name in {HEAVY!r} if name in sys.modules])")
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_a_missing_package_is_named_with_its_extra(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "sys.modules['pandas'] = None\n"
        "import ingest, pipeline\n"
        "try:\n"
        f"    ingest.read_recording({str(tmp_path)!r})\n"
        "except pipeline.UserError as error:\n"
        "    print(error)\n"
    )
    done = run(code)
    assert "pip install 'persondays[pandas]'" in done.stdout, done.stderr
