"""A local S3 server for tests and trials: SeaweedFS from PyPI, on the loopback interface.

    python infra/s3_server.py FOLDER        prints the environment variables of clients, and runs until Ctrl-C

Data are stored in FOLDER. Access keys are generated at every start. The server is stopped with SIGKILL; every write
that it has acknowledged is on disk and is there after a restart.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HOST = "127.0.0.1"
START_S = 60.0
METRICS_OFFSET = 4
"""The port of the server's metrics, relative to its own."""


def _free_ports() -> int:
    """The first of five consecutive free ports whose gRPC ports (10,000 higher) are free too."""
    while True:
        port = 20_000 + secrets.randbelow(20_000)
        needed = [port + i + offset for i in range(5) for offset in (0, 10_000)]
        try:
            for number in needed:
                with socket.socket() as probe:
                    probe.bind((HOST, number))
            return port
        except OSError:
            continue


def _command(folder: Path, port: int, config: Path) -> list[str]:
    weed = shutil.which("weed") or str(Path(sys.executable).with_name("weed"))
    return [
        weed,
        "server",
        f"-dir={folder}",
        f"-ip={HOST}",
        f"-ip.bind={HOST}",
        f"-master.port={port + 1}",
        f"-volume.port={port + 2}",
        f"-filer.port={port + 3}",
        "-master.volumeSizeLimitMB=256",
        "-volume.max=200",
        "-master.volumePreallocate=false",
        "-master.telemetry=false",
        "-volume.preStopSeconds=0",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        "-filer=true",
        "-s3=true",
        f"-s3.port={port}",
        f"-s3.config={config}",
        f"-metricsIp={HOST}",
        f"-metricsPort={port + METRICS_OFFSET}",
        "-master.electionTimeout=1s",
    ]


class S3Server:
    """A server over a folder. It may be killed and started again, with the same data, port and keys."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.port = folder, _free_ports()
        self._config = folder / "s3.json"
        self._process: subprocess.Popen[bytes] | None = None
        self.renew_keys()

    @property
    def environment(self) -> dict[str, str]:
        """Endpoint, credentials and region, as tools expect them."""
        return {
            "AWS_ENDPOINT_URL": f"http://{HOST}:{self.port}",
            "AWS_ACCESS_KEY_ID": self._access,
            "AWS_SECRET_ACCESS_KEY": self._secret,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_REGION": "us-east-1",
        }

    def renew_keys(self) -> None:
        """Generate access keys that may do everything, instead of the present ones, from the next start on."""
        self._access, self._secret = secrets.token_hex(8), secrets.token_hex(16)
        self.allow(["Admin", "Read", "List", "Tagging", "Write"])

    def allow(self, actions: list[str]) -> None:
        """Set the permissions of the access key; they take effect at the next start."""
        keys = [{"accessKey": self._access, "secretKey": self._secret}]
        self._config.touch(mode=0o600)
        self._config.write_text(json.dumps({"identities": [{"name": "test", "credentials": keys, "actions": actions}]}))

    def start(self) -> None:
        """Start the server and wait until it answers. Raises RuntimeError if it does not within a minute."""
        command = _command(self.folder, self.port, self._config)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        with (self.folder / "server.log").open("a") as log:  # it would also accept keys from its environment
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder, env=environment)
        _wait(self.port, self._process, self.folder)

    def kill(self) -> None:
        """Stop the server with SIGKILL. Acknowledged writes are on disk."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()


@contextmanager
def s3_server(folder: Path) -> Iterator[dict[str, str]]:
    """Run a server over `folder`; yields the environment variables of clients (endpoint, credentials, region).

    Raises RuntimeError if it does not answer within a minute.
    """
    server = S3Server(folder)
    try:
        server.start()
        yield server.environment
    finally:
        server.kill()


def answered(environment: dict[str, str], bucket: str) -> Counter[str]:
    """Count the requests for a bucket that a server has answered so far: GET (and HEAD), LIST, PUT, POST, DELETE."""
    port = int(environment["AWS_ENDPOINT_URL"].rsplit(":", 1)[1]) + METRICS_OFFSET
    with urllib.request.urlopen(f"http://{HOST}:{port}/metrics", timeout=10) as reply:
        found = re.findall(r"^SeaweedFS_s3_request_total\{(.*)\} (\S+)$", reply.read().decode(), re.MULTILINE)
    counts: Counter[str] = Counter()
    for labels, value in found:
        if f'bucket="{bucket}"' in labels:
            counts[re.search(r'type="(\w+)"', labels)[1]] += int(float(value))  # type: ignore[index]
    return counts


def _wait(port: int, process: subprocess.Popen[bytes], folder: Path) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        if _answers(port):
            return
        time.sleep(0.2)
    raise RuntimeError(f"the S3 server did not start; its log is {folder / 'server.log'}")


def _answers(port: int) -> bool:
    """Whether the S3 service answers and its master knows where objects are; until then, reads fail with status 500."""
    try:
        with urllib.request.urlopen(f"http://{HOST}:{port + 1}/dir/status", timeout=1) as reply:
            if not json.load(reply)["Topology"].get("DataCenters"):
                return False
        urllib.request.urlopen(f"http://{HOST}:{port}/status", timeout=1).close()
    except urllib.error.HTTPError as error:
        return error.code < 500
    except OSError:
        return False
    return True


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python infra/s3_server.py FOLDER")
    with s3_server(Path(sys.argv[1]).absolute()) as environment:
        import s3fs

        os.environ |= environment
        s3fs.S3FileSystem().mkdir("persondays")
        for name, value in environment.items():
            print(f"export {name}={value}")
        print("# the bucket s3://persondays exists; Ctrl-C stops the server", flush=True)
        try:
            while True:
                time.sleep(3600)
        except KeyboardInterrupt:
            pass
