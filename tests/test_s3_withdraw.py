"""Withdrawals on a real S3 server: buckets that keep versions or once did, refuse requests, or protect objects."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import UserError
from pipeline.store.store import Store
from pipeline.withdraw.files import BucketFiles
from pipeline.withdraw.forget import WithdrawalIncomplete, forget
from pipeline.withdraw.prove import prove
from tests.pipeline import six_participants as people
from tests.pipeline.six_participants import ANN, BOB, CLARA, DORA, EMIL, FAY, traces
from tests.s3_here import s3_here

ROOT = Path(__file__).parents[1]
TODAY = date(2026, 3, 4)
GONE = [ANN, CLARA, DORA, FAY]


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The file system of a server of this module."""
    import s3fs

    with s3_here(tmp_path_factory.mktemp("s3")):
        yield s3fs.S3FileSystem()


def make(s3: Any, bucket: str, versioning: str = "") -> Store:
    """A bucket, and in it a store whose days were written twice."""
    s3.mkdir(bucket)
    if versioning:
        s3.call_s3("put_bucket_versioning", Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    store = people.make(f"s3://{bucket}/some/store")
    for slot in (2, 3):
        store.write_day(slot, people.a_day(slot))
    if versioning == "Suspended":
        s3.call_s3("put_bucket_versioning", Bucket=bucket, VersioningConfiguration={"Status": "Suspended"})
        store.write_day(5, people.a_day(5))
    return store


def everything(s3: Any, bucket: str) -> dict[str, bytes]:
    """Every version of every file of the store, by name and version; delete markers hold nothing."""
    found = {}
    reply = s3.call_s3("list_object_versions", Bucket=bucket, Prefix="some/store/")
    assert not reply.get("IsTruncated")
    for entry in [*reply.get("Versions", ()), *reply.get("DeleteMarkers", ())]:
        name, version = entry["Key"].removeprefix("some/store/"), entry["VersionId"]
        name = name.replace(".parquet", f"@{version}.parquet") if ".parquet" in name else f"{name}@{version}"
        size = entry.get("Size", 0)
        found[name] = s3.cat_file(f"{bucket}/{entry['Key']}", version_id=version, start=0, end=size) if size else b""
    return found


def deny(s3: Any, bucket: str, *actions: str) -> None:
    """Deny permissions; without actions, grant them again."""
    statement = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": [f"s3:{action}" for action in actions],
        "Resource": [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"],
    }
    if actions:
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        s3.call_s3("put_bucket_policy", Bucket=bucket, Policy=policy)
    else:
        s3.call_s3("delete_bucket_policy", Bucket=bucket)


@pytest.mark.parametrize("versioning", ["", "Enabled", pytest.param("Suspended", marks=pytest.mark.slow)])
def test_no_version_of_their_files_is_left(s3: Any, versioning: str) -> None:
    bucket = f"keeps-{versioning.lower() or 'none'}"
    store = make(s3, bucket, versioning)
    days, rows = people.days_of(store, [BOB, EMIL]), people.rows_of(store, [BOB, EMIL])
    assert len(traces(everything(s3, bucket), GONE)) > 20
    found = forget(store, GONE, TODAY)
    assert (found.recordings, found.person_days) == (4, 3)
    left = everything(s3, bucket)
    assert traces(left, GONE) == []
    after = Store.open(store.folder.url)
    assert people.days_of(after, [BOB, EMIL]) == days
    assert people.rows_of(after, people.PEOPLE) == rows
    assert after.withdrawals.unfinished() == set()
    proof = prove(after)
    assert (proof.files, proof.bytes) == (len(left), sum(map(len, left.values())))


def test_a_hidden_version_of_a_late_writer_is_found_and_deleted(s3: Any) -> None:
    """Its object was deleted: the version and a delete marker remain under a name that plain listings do not show."""
    store = make(s3, "late", "Enabled")
    forget(store, GONE, TODAY)
    store.write_day(8, people.a_day(8))
    store.delete_days([8])
    assert not [name for name in store.folder.names() if "/c/8/" in name]
    with pytest.raises(UserError, match="signal/c/8/0/0: a delete marker"):
        prove(store)
    forget(Store.open(store.folder.url), [], TODAY)
    assert prove(Store.open(store.folder.url)).participants == 4


@pytest.mark.slow
def test_a_version_with_a_withdrawn_id_is_found(s3: Any) -> None:
    store = make(s3, "hidden", "Enabled")
    forget(store, GONE, TODAY)
    for text in (ANN, "nothing"):
        store.folder.write("tables/plan/note", text.encode())
    with pytest.raises(UserError, match=f"tables/plan/note: an id .{ANN[:12]}"):
        prove(store)


def test_protected_versions_are_reported_and_the_next_run_completes(s3: Any) -> None:
    s3.call_s3("create_bucket", Bucket="held", ObjectLockEnabledForBucket=True)
    store = people.make("s3://held/some/store")
    key = {"Bucket": "held", "Key": "some/store/signal/c/2/0/0"}
    (version,) = (
        entry["VersionId"] for entry in s3.call_s3("list_object_versions", Bucket="held", Prefix=key["Key"])["Versions"]
    )
    s3.call_s3("put_object_legal_hold", **key, VersionId=version, LegalHold={"Status": "ON"})
    for _ in range(2):
        with pytest.raises(WithdrawalIncomplete, match=r"refused to delete 1 files .*signal/c/2/0/0 \(AccessDenied\)"):
            forget(Store.open(store.folder.url), GONE, TODAY)
        assert store.withdrawals.unfinished() == set(GONE)
        assert not store.folder.exists("signal/c/2/0/0"), "a version that cannot be deleted is at least hidden"
    with pytest.raises(UserError, match="not finished"):
        prove(store)
    s3.call_s3("put_object_legal_hold", **key, VersionId=version, LegalHold={"Status": "OFF"})
    forget(Store.open(store.folder.url), [], TODAY)
    assert traces(everything(s3, "held"), GONE) == []
    assert prove(Store.open(store.folder.url)).participants == 4


@pytest.mark.parametrize(
    "action",
    [
        "GetBucketVersioning",
        pytest.param("ListBucketVersions", marks=pytest.mark.slow),
        pytest.param("ListBucketMultipartUploads", marks=pytest.mark.slow),
    ],
)
def test_without_permission_to_ask_nothing_is_claimed(s3: Any, action: str) -> None:
    bucket = action.lower()
    store = make(s3, bucket, "Enabled" if action == "ListBucketVersions" else "")
    deny(s3, bucket, action)
    with pytest.raises(WithdrawalIncomplete, match=f"s3:{action}: not permitted.*--versions-purged"):
        forget(store, GONE, TODAY)
    assert store.withdrawals.unfinished() == set(GONE)
    assert people.rows_of(Store.open(store.folder.url), GONE) == []
    forget(Store.open(store.folder.url), GONE, TODAY, versions_purged=True)
    assert store.withdrawals.unfinished() == set()
    with pytest.raises(UserError, match=f"s3:{action}"):
        prove(Store.open(store.folder.url))
    assert prove(Store.open(store.folder.url), versions_purged=True).participants == 4


def test_unfinished_uploads_are_aborted(s3: Any) -> None:
    """A driver that was killed while it wrote a large table file."""
    store = make(s3, "parts")
    key = {"Bucket": "parts", "Key": "some/store/tables/recordings/part-1.parquet"}
    upload = s3.call_s3("create_multipart_upload", **key)["UploadId"]
    s3.call_s3("upload_part", **key, UploadId=upload, PartNumber=1, Body=ANN.encode())
    elsewhere = s3.call_s3("create_multipart_upload", Bucket="parts", Key="another/thing")["UploadId"]
    assert BucketFiles(store.folder).unfinished_uploads() == ["tables/recordings/part-1.parquet"]
    store.withdrawals.begin(GONE, TODAY)
    store.withdrawals.complete(GONE, TODAY)
    forget(Store.open(store.folder.url), GONE, TODAY)
    uploads = s3.call_s3("list_multipart_uploads", Bucket="parts")["Uploads"]
    assert [entry["UploadId"] for entry in uploads] == [elsewhere]
    assert prove(Store.open(store.folder.url)).participants == 4


def test_the_command_reports_what_it_could_not_do(s3: Any, tmp_path: Path) -> None:
    store = make(s3, "command", "Enabled")
    deny(s3, "command", "ListBucketVersions")
    (tmp_path / "key").write_text(people.KEY.secret.hex())
    (tmp_path / "who").write_text("Ann\n")
    line = [sys.executable, "-m", "pipeline", "withdraw", "--store", store.folder.url, "--prove"]
    line += ["--participants", str(tmp_path / "who"), "--key-file", str(tmp_path / "key")]
    refused = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert "the bucket keeps versions that cannot be listed" in refused.stderr
    assert not any(word in refused.stdout + refused.stderr for word in ("Traceback", "Ann", "proven"))
    deny(s3, "command")
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "proven: every byte" in done.stdout
    assert traces(everything(s3, "command"), [ANN]) == []
