"""`make demo-s3`: recordings, store and checkpoints on object storage, every step a command as users type it.

A real S3 server runs on this machine while the demo does; its data are thrown away when the demo is run again.
Credentials are made for each run, live in the environment, and are never shown.
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
PEOPLE, DAYS = 6, 0.5
FIRST_WINDOWS, ALL_WINDOWS = 6_400, 12_800
NAMES, WITHDRAWN = "(P[0-9]+)[.]cwa", "P0003"


def run(title: str, *arguments: object, environment: dict[str, str], expect: str = "") -> None:
    """Show a `persondays` command, run it, and leave when it fails or does not say what it should."""
    words = [*map(str, arguments)]
    shown = " ".join(f"'{word}'" if set("()[] ") & set(word) else word for word in words)
    print(f"\n== {title}\n$ persondays {shown}", flush=True)
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline", *words],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    told = []
    try:
        for line in process.stdout or ():
            told.append(line)
            print(f"  {line}", end="", flush=True)
        status = process.wait()
    except BaseException:
        process.terminate()
        process.wait()
        raise
    if status:
        sys.exit(f"\nthe demo stopped: {title!r} ended with exit status {status}; its message stands above.")
    if expect not in "".join(told):
        sys.exit(f"\nthe demo stopped: {title!r} was expected to say {expect!r}.")
    print(f"  ({time.monotonic() - began:.0f} s)")


def upload(recordings: Path) -> None:
    """Put the recordings into the bucket."""
    import s3fs

    fs = s3fs.S3FileSystem()
    fs.mkdir(BUCKET)
    for path in sorted(recordings.glob("*.cwa")):
        fs.put(str(path), f"{BUCKET}/raw/{path.name}")
    print(f"\n== upload\n  {fs.du(f'{BUCKET}/raw') / 1e6:,.0f} MB in {len(fs.ls(f'{BUCKET}/raw'))} objects below {RAW}")


def stock() -> None:
    """What lies in the bucket."""
    import s3fs

    fs = s3fs.S3FileSystem()
    fs.invalidate_cache()
    print("\n== what is in the bucket now")
    for prefix in ("raw", "store/signal", "store/motion", "store/state", "store/tables", "checkpoints"):
        sizes = fs.du(f"{BUCKET}/{prefix}", total=False).values()
        print(f"  {prefix:<14} {len(sizes):>5,} objects {sum(sizes) / 1e6:>9,.2f} MB")


def demo(folder: Path) -> None:
    """The whole road, below one folder."""
    began = time.monotonic()
    here = dict(os.environ) | {"CUDA_VISIBLE_DEVICES": "", "COLUMNS": "100"}
    recordings, key, server = folder / "recordings", folder / "key", folder / "server"
    for old in (server, folder / "logs"):
        shutil.rmtree(old, ignore_errors=True)
    run(
        f"simulate {PEOPLE} people who wear an AX3 for half a day",
        "simulate", recordings, "--participants", PEOPLE, "--days", DAYS, environment=here,
    )  # fmt: skip
    if not key.exists():
        run("make a key for the store's ids", "new-key", key, environment=here)
    with s3_server(server) as credentials:
        print("\n== a real S3 server (SeaweedFS) runs on this machine; its credentials are in the environment")
        os.environ |= credentials
        there = here | credentials
        upload(recordings)
        ingest = ("ingest", "--recordings", RAW, "--store", STORE, "--key-file", key, "--id-regex", NAMES)
        run("ingest from S3 to S3, on a Ray of this machine", *ingest, environment=there, expect=f"{PEOPLE} recordings")
        run("the same again: nothing is done twice", *ingest, environment=there, expect="nothing to do")
        run("what is in the store", "inspect", STORE, environment=there)
        run(
            "do rows and objects agree? every byte is read",
            "verify",
            STORE,
            environment=there,
            expect="no faults found",
        )
        train = ("train", "demo", "--store", STORE, "--checkpoints", CHECKPOINTS, "--log-folder", folder / "logs")
        for title, windows, expect in (
            ("a short pretraining, windows and checkpoints on S3", FIRST_WINDOWS, "starting a new run"),
            ("it goes on from its checkpoint", ALL_WINDOWS, f"resuming after {FIRST_WINDOWS:,} windows"),
        ):
            settings = {"windows": windows, "validate_every": FIRST_WINDOWS, "save_every": FIRST_WINDOWS}
            sets = [word for name, value in settings.items() for word in ("--set", f"run.{name}={value}")]
            run(title, *train, *sets, environment=there, expect=expect)
        gone = folder / "withdrew.txt"
        gone.write_text(f"{WITHDRAWN}\n")
        run(
            "a person withdraws: forgotten, and every byte that is left is read to prove it",
            "withdraw", "--store", STORE, "--participants", gone, "--key-file", key, "--prove",
            environment=there, expect="proven",
        )  # fmt: skip
        run("ingest leaves the person out", *ingest, environment=there, expect=f"{PEOPLE - 1} recordings done")
        run("the store is whole without them", "verify", STORE, environment=there, expect="no faults found")
        stock()
        asked = answered(credentials, BUCKET)
        print("  requests answered: " + ", ".join(f"{kind} {count:,}" for kind, count in sorted(asked.items())))
    print(f"\nThe demo took {time.monotonic() - began:.0f} s. The server is ended; its data lie in {server}.")


def main() -> None:
    parser = argparse.ArgumentParser(description="Recordings, store and checkpoints on a real S3 server.")
    parser.add_argument("folder", type=Path, help="the folder for everything the demo makes")
    folder = parser.parse_args().folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        demo(folder)
    except KeyboardInterrupt:
        sys.exit("\nstopped. Run the demo again: it starts over, with the recordings that are there.")


if __name__ == "__main__":
    main()
