"""Verifying a store on S3: pages of listings, unfinished uploads, missing permissions."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pipeline.storage.folder import StorageError
from pipeline.storage.s3 import S3Client
from pipeline.store.store import Store
from pipeline.verify.checks import check_store
from pipeline.verify.choice import all_slots, no_slots
from pipeline.verify.repair import repair
from tests.pipeline.verify.three_recordings import KEY, a_day, found, make, run
from tests.s3_here import s3_here


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with s3_here(tmp_path_factory.mktemp("s3"), "ours"):
        yield "s3://ours"


def test_damage_on_s3_is_found(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Page by page, with an unfinished upload, an orphan, a missing and a damaged object."""
    store = make(f"{bucket}/store")
    assert check_store(store, all_slots).findings == []
    fs = store.folder.fs
    call: Callable[..., Any] = fs.call_s3
    monkeypatch.setattr(
        fs, "call_s3", lambda method, **more: call(method, **more | ({"MaxKeys": 2} if "objects" in method else {}))
    )
    upload = fs.call_s3("create_multipart_upload", Bucket="ours", Key="store/signal/c/0/0/0")["UploadId"]
    store.folder.delete(["motion/c/0/0"])
    data = bytearray(store.folder.read("state/c/3/0"))
    data[-10] ^= 1
    store.folder.write("state/c/3/0", bytes(data))
    store.write_day(8, a_day(8))
    report = check_store(store, all_slots)
    assert found(report) == {
        "missing": [0],
        "unreadable": [3],
        "orphans": [8],
        "leftovers": ["store/signal/c/0/0/0 (upload)"],
    }
    assert S3Client(store.folder).abort_uploads([("store/signal/c/0/0/0", upload)] * 2) == []
    assert "leftovers" not in found(check_store(store, no_slots))


def test_uploads_are_listed_to_the_last_page(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store.create(f"{bucket}/uploads", KEY, {})
    fs = store.folder.fs
    made = {
        (key, fs.call_s3("create_multipart_upload", Bucket="ours", Key=key)["UploadId"])
        for key in [f"uploads/signal/c/{number % 5}/0/0" for number in range(7)]
    }
    call: Callable[..., Any] = fs.call_s3
    small = {"list_multipart_uploads": {"MaxUploads": 2}}
    monkeypatch.setattr(fs, "call_s3", lambda method, **more: call(method, **more | small.get(method, {})))
    uploads, unlisted = S3Client(store.folder).unfinished_uploads()
    assert (sorted(uploads), unlisted) == (sorted(made), "")
    assert S3Client(store.folder).abort_uploads(uploads) == []
    assert S3Client(store.folder).unfinished_uploads() == ([], "")


def test_without_permission_to_list_uploads_the_rest_is_checked(bucket: str) -> None:
    store = make(f"{bucket}/audited")
    deny(store, "ListBucketMultipartUploads")
    try:
        done = run(store.folder.url, "--json", "-")
        assert done.returncode == 0, done.stderr
        assert [(each["what"], each["wrong"]) for each in json.loads(done.stdout)["findings"]] == [("unlisted", False)]
        store.folder.delete(["motion/c/0/0"])
        report = check_store(store, all_slots)
    finally:
        store.folder.fs.call_s3("delete_bucket_policy", Bucket="ours")
    assert found(report) == {"missing": [0]}
    unlisted = report.of("unlisted")
    assert unlisted is not None
    assert list(unlisted.names) == ["s3:ListBucketMultipartUploads: not permitted"]
    assert check_store(store, no_slots).of("unlisted") is None


def test_an_upload_that_cannot_be_aborted_is_an_error(bucket: str) -> None:
    store = make(f"{bucket}/kept")
    upload = store.folder.fs.call_s3("create_multipart_upload", Bucket="ours", Key="kept/signal/c/0/0/0")["UploadId"]
    deny(store, "AbortMultipartUpload")
    try:
        with pytest.raises(StorageError, match=r"1 unfinished uploads remain .s3:AbortMultipartUpload: not permitted"):
            repair(store, check_store(store, no_slots), [])
    finally:
        store.folder.fs.call_s3("delete_bucket_policy", Bucket="ours")
    assert S3Client(store.folder).abort_uploads([("kept/signal/c/0/0/0", upload)]) == []


def deny(store: Store, action: str) -> None:
    """Deny everybody a permission."""
    where = ["arn:aws:s3:::ours", "arn:aws:s3:::ours/*"]
    statement = {"Effect": "Deny", "Principal": "*", "Action": [f"s3:{action}"], "Resource": where}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    store.folder.fs.call_s3("put_bucket_policy", Bucket="ours", Policy=policy)


def test_a_storage_failure_is_not_reported_as_damage(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-the-secret")
    done = run(f"{bucket}/store")
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
