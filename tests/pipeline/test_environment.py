"""The environment that commands prepare for themselves."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.environment import without_proxy_for_loopback

ROOT = Path(__file__).parents[2]
PROXY = "http://proxy.example:3128"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, None),
        ({"http_proxy": ""}, None),
        ({"no_proxy": "a"}, None),
        ({"https_proxy": PROXY, "no_proxy": "*"}, None),
        ({"HTTPS_PROXY": PROXY}, "localhost,127.0.0.1,::1"),
        ({"all_proxy": PROXY, "NO_PROXY": "10.0.0.0/8, localhost"}, "10.0.0.0/8,localhost,127.0.0.1,::1"),
    ],
)
def test_servers_on_this_machine_need_no_proxy(given: dict[str, str], expected: str | None) -> None:
    found = without_proxy_for_loopback(given)
    assert found == ({"no_proxy": expected, "NO_PROXY": expected} if expected else {})
    assert without_proxy_for_loopback(given | found) == found


@pytest.mark.parametrize("module", ["pipeline verify", "ingest --store store --key-file key --recordings"])
def test_names_are_utf8_in_every_locale(tmp_path: Path, module: str) -> None:
    (tmp_path / "grüße").write_text("neither a store nor a recording")
    (tmp_path / "key").write_text("0" * 64)
    locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", *module.split(), "grüße"]
    done = subprocess.run(command, env={**os.environ, **locale}, cwd=tmp_path, capture_output=True)
    assert done.returncode == 1
    assert b"Traceback" not in done.stderr
    assert "grüße".encode() in done.stderr


def test_a_read_only_file_system_is_one_message() -> None:
    code = (
        "import errno, os; from pipeline.cli import run_command\n"
        "def command() -> None: raise OSError(errno.EROFS, os.strerror(errno.EROFS), '/media/disc')\n"
        "raise SystemExit(run_command(command, 'command'))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("error: /media/disc: the file system is read-only.")
    assert len(done.stderr.splitlines()) == 1
