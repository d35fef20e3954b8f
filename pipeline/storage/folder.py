"""Files under one URL: a local folder or object storage, by fsspec.

It adds three guarantees, the same for all storage: a file is written atomically, `create` has one winner however many
processes try, and failures that a user can fix are one-sentence errors.
"""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline.errors import UserError
from pipeline.extras import missing_extra


class StorageError(UserError):
    """The storage cannot be used: credentials, permissions, connection."""


class StorageUnavailable(StorageError):
    """The storage does not answer, or says that it is busy; it may recover."""


S3_RETRIES = {"mode": "standard", "total_max_attempts": 2}
"""Of botocore, within each of the five attempts of s3fs: a hanging server is reported within minutes."""

TRANSIENT_ERRORS = (
    *("ConnectionError", "HTTPClientError", "IncompleteRead", "ResponseParserError"),
    *("ClientConnectionError", "ClientPayloadError"),
)
"""Exceptions of botocore and aiohttp (or their subclasses) for failures of a network or server that may pass."""

TRANSIENT_ERRNOS = (errno.EBUSY, errno.EIO, getattr(errno, "EREMOTEIO", errno.EIO))
"""What s3fs raises for failures of the server (500 and the like) and for "slow down"."""

KEYS_PER_DELETE = 1000
"""Objects that one S3 request may delete."""

CREDENTIAL_SETTINGS = {"aws_access_key_id", "credential_process", "role_arn", "sso_session", "sso_start_url"}
"""Settings of the standard files that lead to credentials."""


def refusal(error: Exception) -> str:
    """The code with which an S3 server permanently refuses a request; "" for any other failure.

    s3fs raises EIO for every code it does not know, with the server's answer as the cause.
    """
    answer = getattr(error.__cause__, "response", None)
    if not isinstance(answer, dict):
        return ""
    status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return str(answer.get("Error", {}).get("Code", status)) if 400 <= status < 500 and status not in (408, 429) else ""


def is_transient(error: Exception) -> bool:
    """Whether a failure of remote storage may pass."""
    if refusal(error):
        return False
    kinds = {kind.__name__ for kind in type(error).__mro__}
    status = getattr(error, "status", None)  # of aiohttp's exceptions
    return (
        isinstance(error, TimeoutError)
        or not kinds.isdisjoint(TRANSIENT_ERRORS)
        or (isinstance(error, OSError) and error.errno in TRANSIENT_ERRNOS)
        or (isinstance(status, int) and status >= 500)
    )


class Folder:
    """The files below `url` (a local path or any fsspec URL); names are relative, separated by `/`."""

    def __init__(self, url: str) -> None:
        import fsspec

        fsspec.config.conf.setdefault("s3", {}).setdefault("config_kwargs", {"retries": S3_RETRIES})
        self.url = str(url).rstrip("/") or "/"
        try:
            self.fs, self.path = fsspec.core.url_to_fs(self.url)
        except (ValueError, ImportError) as error:
            raise missing_extra(error) or UserError(f"cannot use {self.url!r} as storage: {error}.") from None
        self.is_local = "file" in (self.fs.protocol if isinstance(self.fs.protocol, tuple) else (self.fs.protocol,))
        if self.is_local:
            self.url = self.path

    def __reduce__(self) -> tuple[Any, ...]:
        return Folder, (self.url,)

    def at(self, name: str) -> str:
        """The full path of `name` for the file system."""
        return f"{self.path}/{name}" if name else self.path

    def folder(self, name: str) -> Folder:
        """The folder `name` below this one."""
        return Folder(f"{self.url}/{name}")

    def read(self, name: str) -> bytes:
        """The bytes of a file; raises FileNotFoundError."""
        with self.translate_errors():
            return bytes(self.fs.cat_file(self.at(name)))

    def write(self, name: str, data: bytes, flushed: bool = True) -> None:
        """Write a file atomically, replacing an older one.

        A local file that is not `flushed` survives a kill, but a power failure only after `flush`.
        """
        with self.translate_errors():
            if self.is_local:
                temporary = self._temporary(name, data, flushed)
                os.replace(temporary, self.at(name))
            else:
                self.fs.pipe_file(self.at(name), data)

    def flush(self) -> None:
        """Flush everything this machine has written to its disks; does nothing on object storage."""
        if self.is_local:
            os.sync()

    def create(self, name: str, data: bytes) -> bool:
        """Write a file and return True, or return False if it exists. Of several concurrent callers, one gets True."""
        with self.translate_errors():
            if self.is_local:
                temporary = self._temporary(name, data)
                try:
                    os.link(temporary, self.at(name))
                    return True
                except FileExistsError:
                    return False
                finally:
                    temporary.unlink()
            try:
                self.fs.pipe_file(self.at(name), data, mode="create")
                return True
            except FileExistsError:
                return False
            except OSError as error:
                if error.errno == 22 and self.exists(name):
                    return False
                raise

    def _temporary(self, name: str, data: bytes, flushed: bool = True) -> Path:
        target = Path(self.at(name))
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
        except FileNotFoundError as error:  # such as below /proc
            raise StorageError(f"{self.url}: the folder cannot be created ({error}). Choose another.") from None
        temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.partial")
        try:
            with temporary.open("wb") as file:
                file.write(data)
                if flushed:
                    file.flush()
                    os.fsync(file.fileno())
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        return temporary

    def exists(self, name: str) -> bool:
        """Whether a file of this name exists."""
        with self.translate_errors():
            self.fs.invalidate_cache()
            return bool(self.fs.exists(self.at(name)))

    def names(self, below: str = "") -> list[str]:
        """All files below a folder, sorted, without unfinished ones; empty where there is no such folder."""
        with self.translate_errors():
            self.fs.invalidate_cache()
            root = self.at("")
            found = (path[len(root) :].lstrip("/") for path in self.fs.find(self.at(below)))
            return sorted(name for name in found if name and not name.endswith(".partial"))

    def delete(self, names: list[str]) -> None:
        """Delete files; those that do not exist are skipped."""
        with self.translate_errors():
            if "s3" in self.fs.protocol:
                self._delete_many(names)
                return
            for name in names:
                try:
                    self.fs.rm_file(self.at(name))
                except FileNotFoundError:
                    continue

    def _delete_many(self, names: list[str]) -> None:
        bucket, _, root = self.path.partition("/")
        keys = [f"{root}/{name}" if root else name for name in names]
        for first in range(0, len(keys), KEYS_PER_DELETE):
            objects = [{"Key": key} for key in keys[first : first + KEYS_PER_DELETE]]
            reply = self.fs.call_s3("delete_objects", Bucket=bucket, Delete={"Objects": objects, "Quiet": True})
            for error in reply.get("Errors") or ():
                raise PermissionError(f"deleting {len(objects)} objects: {error.get('Code')}")
        self.fs.invalidate_cache()

    def delete_all(self) -> None:
        """Delete the folder and everything in it."""
        with self.translate_errors():
            if self.fs.exists(self.path):
                self.fs.rm(self.path, recursive=True)

    @contextmanager
    def translate_errors(self) -> Iterator[None]:
        """Turn storage failures (credentials, bucket, connection) into StorageError or StorageUnavailable."""
        try:
            yield
        except PermissionError as error:
            raise StorageError(
                f"{self.url}: not permitted ({error}). Check its owner, or the credentials in the environment."
            ) from None
        except (NotADirectoryError, IsADirectoryError, FileExistsError) as error:
            raise StorageError(f"{self.url}: expected a folder, found something else ({error}).") from None
        except UserError:
            raise
        except Exception as error:
            kind = type(error)
            if type(error.__cause__).__name__ == "NoSuchBucket":
                raise StorageError(f"{self.url}: there is no such bucket. Check its name, or create it.") from None
            if isinstance(error, OSError) and error.errno == errno.EROFS:
                raise StorageError(f"{self.url}: the file system is read-only. Choose another folder.") from None
            if code := refusal(error):
                raise StorageError(f"{self.url}: the storage refuses ({code}). Check its permissions.") from None
            if not self.is_local and is_transient(error):
                raise StorageUnavailable(
                    f"{self.url}: the storage does not answer ({str(error) or kind.__name__}). Check the endpoint."
                ) from None
            if kind.__module__.split(".")[0] in ("botocore", "aiobotocore"):
                raise StorageError(
                    f"{self.url}: the storage cannot be used ({error}). Check the endpoint and credentials."
                ) from None
            raise

    def delta_options(self) -> dict[str, str]:
        """Options with which Delta Lake reaches the same storage.

        It finds credentials in the environment and of the machine by itself, but not those in the standard files.
        """
        if self.is_local or not self.url.startswith(("s3://", "s3a://")):
            return {}
        import botocore.session

        session = botocore.session.get_session()
        profile = session.get_scoped_config()
        options = {"aws_conditional_put": "etag"}
        of_s3 = session.full_config.get("services", {}).get(profile.get("services", ""), {}).get("s3", {})
        endpoint = (
            os.environ.get("AWS_ENDPOINT_URL_S3")
            or os.environ.get("AWS_ENDPOINT_URL")
            or of_s3.get("endpoint_url")
            or profile.get("endpoint_url")
        )
        if endpoint:
            options["AWS_ENDPOINT_URL"] = endpoint
            if endpoint.startswith("http://"):
                options["AWS_ALLOW_HTTP"] = "true"
        region = os.environ.get("AWS_REGION") or session.get_config_variable("region")
        if region:
            options["AWS_REGION"] = region
        if "AWS_ACCESS_KEY_ID" not in os.environ and CREDENTIAL_SETTINGS & set(profile):
            found = session.get_credentials()
            keys = found.get_frozen_credentials() if found else None
            if keys:
                options |= {"AWS_ACCESS_KEY_ID": keys.access_key, "AWS_SECRET_ACCESS_KEY": keys.secret_key}
                options |= {"AWS_SESSION_TOKEN": keys.token} if keys.token else {}
        return options


def write_file(path: Path, data: bytes) -> None:
    """Write a local file atomically; folders that do not exist are created."""
    Folder(str(path.absolute().parent)).write(path.name, data)
