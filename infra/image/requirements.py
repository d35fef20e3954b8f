"""Print what ingest needs: the project's dependencies without those that only training imports."""

import re
import tomllib
from pathlib import Path

TRAINING_ONLY = {"deepspeed", "safetensors", "tensorboard", "torch"}

project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
for dependency in project["dependencies"]:
    if re.split(r"[\[<>=!~; ]", dependency, maxsplit=1)[0] not in TRAINING_ONLY:
        print(dependency)
