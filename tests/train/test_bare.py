"""Training's parts import, and the bench's pieces run, on a machine without ray, deepspeed, zarr and storage."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ABSENT = ("ray", "deepspeed", "zarr", "deltalake", "numcodecs", "google_crc32c", "s3fs", "obstore", "tensorboard")
MODULES = ("train.windows.stream", "train.windows.feed", "train.validate", "train.recipe", "train.schedule")


def test_what_a_step_needs_imports_without_storage() -> None:
    code = f"""
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {ABSENT!r}:
            raise ImportError(name + " is not installed here")
sys.meta_path.insert(0, Absent())
for module in {MODULES!r}:
    __import__(module)
"""
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
