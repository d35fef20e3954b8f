"""Run the tests as other machines run them: `make test-machines`. It takes an hour, so no other target runs it.

Each configuration is one pytest run. Its result is appended to a log, one JSON line each. A configuration that has
passed in the present state of the checkout is not run again, so an interrupted run continues.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
LOG = ROOT / "runs" / "test-machines.jsonl"
COUNT = re.compile(r"(\d+) (passed|failed|error|skipped)")
FAILING = re.compile(r"^(?:FAILED|ERROR) (\S+)", re.MULTILINE)


@dataclass(frozen=True)
class Machine:
    """How a machine differs from this one."""

    about: str
    environment: dict[str, str] = field(default_factory=dict)
    one_core: bool = False
    busy: bool = False
    shuffled: bool = False


def kernels(torch: str, onednn: str) -> dict[str, str]:
    """The instruction sets that torch's own kernels and oneDNN's may use."""
    return {"ATEN_CPU_CAPABILITY": torch, "ONEDNN_MAX_CPU_ISA": onednn}


MACHINES = {
    "own": Machine("this machine as it is"),
    "sse4": Machine("no AVX; random order", kernels("default", "SSE41"), shuffled=True),
    "avx2": Machine(
        "no AVX-512, no real recordings; random order",
        kernels("avx2", "AVX2") | {"PERSONDAYS_REAL_DATA": ""},
        shuffled=True,
    ),
    "mixed": Machine("torch without AVX, oneDNN with AVX2; random order", kernels("default", "AVX2"), shuffled=True),
    "one-core": Machine("pinned to one core", one_core=True),
    "busy": Machine("another process on every core", busy=True),
}


@contextmanager
def busy_cores(wanted: bool) -> Iterator[None]:
    """A process on every core that computes until the end, or until this process is gone."""
    spin = "import os\nparent = os.getppid()\nwhile os.getppid() == parent: sum(range(10**6))"
    processes = [subprocess.Popen([sys.executable, "-c", spin]) for _ in range(os.cpu_count() or 1)] if wanted else []
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def command(machine: Machine, arguments: list[str]) -> list[str]:
    """The command line of a run of the whole suite, or of what the arguments for pytest choose."""
    core = ["taskset", "--cpu-list", str(min(os.sched_getaffinity(0)))] if machine.one_core else []
    parallel = [] if machine.one_core else ["--numprocesses", "2", "--dist", "loadgroup"]
    return [*core, sys.executable, "-m", "pytest", "-rfE", *parallel, *arguments]


def run(name: str, arguments: list[str]) -> dict[str, Any]:
    """Run a configuration and return its line of the log."""
    machine, began = MACHINES[name], time.monotonic()
    environment = dict(machine.environment)
    if machine.shuffled:
        environment["PERSONDAYS_TEST_ORDER"] = str(random.randrange(2**31))
    line = command(machine, arguments)
    shown = [f"{key}={value}" for key, value in environment.items()] + line
    print(f"\n== {name}: {machine.about}\n{' '.join(shown)}", flush=True)
    output = ""
    with busy_cores(machine.busy):
        process = subprocess.Popen(line, cwd=ROOT, env=os.environ | environment, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        for text in process.stdout:
            print(text, end="", flush=True)
            output += text
        status = process.wait()
    counts = {kind: int(count) for count, kind in COUNT.findall(output.rstrip().rpartition("\n")[2])}
    return {
        **asked(name, arguments),
        "environment": environment,
        "status": status,
        "passed": counts.get("passed", 0),
        "failed": counts.get("failed", 0) + counts.get("error", 0),
        "skipped": counts.get("skipped", 0),
        "seconds": round(time.monotonic() - began),
        "failing": FAILING.findall(output),
    }


def asked(name: str, arguments: list[str]) -> dict[str, Any]:
    """What identifies a run: configuration, arguments, and the commit with what differs from it."""
    parts = [["rev-parse", "HEAD"], ["diff", "HEAD"]]
    said = b"".join(subprocess.check_output(["git", *part], cwd=ROOT) for part in parts)
    return {"configuration": name, "arguments": arguments, "checkout": sha256(said).hexdigest()[:12]}


def passed_before(log: Path, wanted: dict[str, Any]) -> dict[str, Any] | None:
    """The line of the log of the same run, where that passed."""
    lines = map(json.loads, log.read_text().splitlines()) if log.exists() else ()
    return next((line for line in lines if wanted.items() <= line.items() and line["status"] == 0), None)


def table(results: list[dict[str, Any]]) -> str:
    """A row a configuration, then every failing test."""
    rows = [f"{'configuration':14}{'passed':>8}{'failed':>8}{'skipped':>9}{'seconds':>9}{'status':>8}"]
    for found in results:
        figures = f"{found['passed']:8}{found['failed']:8}{found['skipped']:9}{found['seconds']:9}{found['status']:8}"
        rows.append(f"{found['configuration']:14}{figures}")
    rows += [f"{found['configuration']}: {test} failed" for found in results for test in found["failing"]]
    return "\n".join(rows)


def main() -> int:
    """Run the configurations that are asked for; 1 if one of them failed."""
    about = "\n".join(f"  {name:10} {machine.about}" for name, machine in MACHINES.items())
    parser = argparse.ArgumentParser(
        prog="python -m tests.machines",
        description=f"{__doc__}\nConfigurations (default: all):\n{about}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("configurations", nargs="*", metavar="CONFIGURATION")
    parser.add_argument("--log", type=Path, default=LOG)
    parser.add_argument("--pytest", default="", metavar="ARGUMENTS", help="tests and options; default: the whole suite")
    given = parser.parse_args()
    names = given.configurations or list(MACHINES)
    if unknown := set(names) - set(MACHINES):
        parser.error(f"unknown configurations: {', '.join(sorted(unknown))}")
    given.log.parent.mkdir(parents=True, exist_ok=True)
    results = []
    for name in names:
        found = passed_before(given.log, asked(name, given.pytest.split()))
        if found is None:
            found = run(name, given.pytest.split())
            with given.log.open("a") as log:
                log.write(json.dumps(found) + "\n")
        results.append(found)
    print(f"\n{table(results)}")
    return int(any(found["status"] for found in results))


if __name__ == "__main__":
    sys.exit(main())
