"""`make demo-s3`: recordings, store and checkpoints on object storage; every step is a command that users would type.

A real S3 server runs on this machine during the demo; running the demo again deletes its data. Credentials are
created for each run, stay in the environment, and are never printed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from infra.s3_server import answered, s3_server

BUCKET = "persondays"
RAW, STORE, CHECKPOINTS = (f"s3://{BUCKET}/{name}" for name in ("raw", "store", "checkpoints"))
PARTICIPANTS, DAYS = 6, 0.5
FIRST_WINDOWS, ALL_WINDOWS = 6_400, 12_800
NAME_PATTERN, WITHDRAWN = "(P[0-9]+)[.]cwa", "P0003"


def run(title: str, *arguments: object, environment: dict[str, str], expect: str = "") -> None:
    """Print a `persondays` command and run it. Exit if it fails or does not print the expected text."""
    words = [*map(str, arguments)]
    shown = " ".join(f"'{word}'" if set("()[] ") & set(word) else word for word in words)
    print(f"\n== {title}\n$ persondays {shown}", flush=True)
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline", *words],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    printed = []
    try:
        for line in process.stdout or ():
            printed.append(line)
            print(f"  {line}", end="", flush=True)
        status = process.wait()
    except BaseException:
        process.terminate()
        process.wait()
        raise
    if status:
        sys.exit(f"\nthe demo stopped: {title!r} ended with exit status {status}; see its message above.")
    if expect not in "".join(printed):
        sys.exit(f"\nthe demo stopped: expected {title!r} to print {expect!r}.")
    print(f"  ({time.monotonic() - began:.0f} s)")


def upload(recordings: Path) -> None:
    """Upload the recordings to the bucket."""
    import s3fs

    fs = s3fs.S3FileSystem()
    fs.mkdir(BUCKET)
    for path in sorted(recordings.glob("*.cwa")):
        fs.put(str(path), f"{BUCKET}/raw/{path.name}")
    print(f"\n== upload\n  {fs.du(f'{BUCKET}/raw') / 1e6:,.0f} MB in {len(fs.ls(f'{BUCKET}/raw'))} objects in {RAW}")


def list_bucket() -> None:
    """Print the number and size of the objects in the bucket."""
    import s3fs

    fs = s3fs.S3FileSystem()
    fs.invalidate_cache()
    print("\n== objects in the bucket")
    for prefix in ("raw", "store/signal", "store/motion", "store/state", "store/tables", "checkpoints"):
        sizes = fs.du(f"{BUCKET}/{prefix}", total=False).values()
        print(f"  {prefix:<14} {len(sizes):>5,} objects {sum(sizes) / 1e6:>9,.2f} MB")


def demo(folder: Path) -> None:
    """Run every step; local files are written to one folder."""
    began = time.monotonic()
    local = dict(os.environ) | {"CUDA_VISIBLE_DEVICES": "", "COLUMNS": "100"}
    recordings, key, server = folder / "recordings", folder / "key", folder / "server"
    for old in (server, folder / "logs"):
        shutil.rmtree(old, ignore_errors=True)
    cohort = ("--participants", PARTICIPANTS, "--days", DAYS)
    run(
        f"simulate {PARTICIPANTS} participants with an AX3 for half a day",
        "simulate",
        recordings,
        *cohort,
        environment=local,
    )
    if not key.exists():
        run("create the key for the store's ids", "new-key", key, environment=local)
    with s3_server(server) as credentials:
        print("\n== start an S3 server (SeaweedFS) on this machine; its credentials are in the environment")
        os.environ |= credentials
        upload(recordings)
        run_on_s3(folder, key, local | credentials)
        list_bucket()
        requests = answered(credentials, BUCKET)
        print("  requests answered: " + ", ".join(f"{kind} {count:,}" for kind, count in sorted(requests.items())))
    print(f"\nThe demo took {time.monotonic() - began:.0f} s. The server has stopped; its data are in {server}.")


def run_on_s3(folder: Path, key: Path, environment: dict[str, str]) -> None:
    """Ingest, check, pretrain in two parts, and withdraw a participant."""

    def step(title: str, *arguments: object, expect: str = "") -> None:
        run(title, *arguments, environment=environment, expect=expect)

    ingest = ("ingest", "--recordings", RAW, "--store", STORE, "--key-file", key, "--id-regex", NAME_PATTERN)
    step("ingest from S3 to S3 with Ray", *ingest, expect=f"{PARTICIPANTS} recordings done")
    step("ingest again: every recording is already done", *ingest, expect=f"{PARTICIPANTS} recordings done")
    step("inspect the store", "inspect", STORE)
    step("verify the store: read every byte, and compare rows with objects", "verify", STORE)
    pretrain = ("train", "demo", "--store", STORE, "--checkpoints", CHECKPOINTS, "--log-folder", folder / "logs")
    every = ("--set", f"run.validate_every={FIRST_WINDOWS}", "--set", f"run.save_every={FIRST_WINDOWS}")
    step("pretrain from S3, with checkpoints on S3", *pretrain, *every, "--set", f"run.windows={FIRST_WINDOWS}")
    resumed = f"after {FIRST_WINDOWS:,} windows"
    step("resume from the checkpoint", *pretrain, *every, "--set", f"run.windows={ALL_WINDOWS}", expect=resumed)
    withdrawn = folder / "withdrawn.txt"
    withdrawn.write_text(f"{WITHDRAWN}\n")
    step(
        "withdraw a participant, and read every remaining byte to prove it",
        *("withdraw", "--store", STORE, "--participants", withdrawn, "--key-file", key, "--prove"),
    )
    step("ingest again: the participant is left out", *ingest, expect=f"{PARTICIPANTS - 1} recordings done")
    step("verify the store without the participant", "verify", STORE)


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Run every step with recordings, store and checkpoints on a real S3 server."
    )
    parser.add_argument("folder", type=Path, help="folder for everything that the demo makes")
    folder = parser.parse_args().folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        demo(folder)
    except KeyboardInterrupt:
        sys.exit("\nstopped. Run the demo again to start from scratch; it reuses the recordings.")


if __name__ == "__main__":
    main()
