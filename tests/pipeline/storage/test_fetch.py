"""Fetching objects from a real S3 server with credentials that are renewed while a process runs."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from infra.s3_server import S3Server
from pipeline.storage.fetch import ObstoreFetch
from pipeline.storage.folder import Folder
from tests.s3_here import s3_here


def write_keys(path: Path, server: S3Server) -> None:
    """Write what a `credential_process` prints: keys that have to be renewed in a minute."""
    keys = server.environment
    expires = datetime.now(UTC) + timedelta(minutes=1)
    found = {"Version": 1, "AccessKeyId": keys["AWS_ACCESS_KEY_ID"], "SecretAccessKey": keys["AWS_SECRET_ACCESS_KEY"]}
    path.write_text(json.dumps(found | {"SessionToken": "", "Expiration": expires.isoformat()}))


def test_renewed_credentials_of_the_standard_files_are_used(tmp_path: Path) -> None:
    pytest.importorskip("obstore")
    import s3fs

    keys, config = tmp_path / "keys.json", tmp_path / "config"
    with s3_here(tmp_path / "s3", "ours") as server, pytest.MonkeyPatch.context() as patch:
        Folder("s3://ours").write("shard", b"bytes")
        endpoint = server.environment["AWS_ENDPOINT_URL"]
        config.write_text(
            f"[profile study]\nregion = us-east-1\nendpoint_url = {endpoint}\ncredential_process = cat {keys}\n"
        )
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        patch.setenv("AWS_CONFIG_FILE", str(config))
        patch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
        patch.setenv("AWS_PROFILE", "study")
        s3fs.S3FileSystem.clear_instance_cache()
        write_keys(keys, server)
        folder, by_s3fs = Folder("s3://ours"), list[str]()
        fetch, read = ObstoreFetch(folder), folder.fs.cat_file

        def cat_file(path: str) -> Any:
            by_s3fs.append(path)
            return read(path)

        patch.setattr(folder.fs, "cat_file", cat_file)
        assert bytes(fetch("shard")) == b"bytes"
        server.kill()
        server.renew_keys()
        server.start()
        write_keys(keys, server)
        assert bytes(fetch("shard")) == b"bytes"
        assert not by_s3fs, "obstore knows the new keys"
