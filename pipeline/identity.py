"""Keyed ids: the store knows people, recordings and device serials only by HMAC-SHA256 (RFC 2104).

The key never enters the store. A check value of it does, so that a wrong key is refused before it
would give every person a second identity.
"""

from __future__ import annotations

import hmac
import os
import secrets
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from pipeline.errors import UserError

ENVIRONMENT_VARIABLE = "PERSONDAYS_KEY"
SHORT_ID = 12
"""Hex digits by which logs, reports and errors name a recording."""


@dataclass(frozen=True, repr=False)
class Key:
    """The secret of a store. Its methods give 64 hex digits each; kinds never share a value."""

    secret: bytes

    def _id(self, kind: str, name: str) -> str:
        text = f"{kind}:{name}".encode(errors="surrogateescape")  # file names need not be UTF-8
        return hmac.new(self.secret, text, sha256).hexdigest()

    def participant(self, name: str) -> str:
        """The id of a person."""
        return self._id("participant", name)

    def recording(self, name: str) -> str:
        """The id of a recording: `name` is its path relative to the folder of recordings."""
        return self._id("recording", name)

    def device(self, serial: str) -> str:
        """The id of a device by its serial number."""
        return self._id("device", serial)

    @property
    def check(self) -> str:
        """What a store keeps to recognise its key; tells nothing about the key."""
        return self._id("check", "persondays-store")


def parse_key(text: str, where: str) -> Key:
    """A key from its 64 hex digits; raises UserError (which never shows the text)."""
    try:
        secret = bytes.fromhex(text.strip())
    except ValueError:
        secret = b""
    if len(secret) != 32:
        raise UserError(
            f"the key in {where} is not usable: expected 64 hex digits, found {len(text.strip())} other characters. "
            "Make one with `persondays new-key FILE`."
        )
    return Key(secret)


def load_key(key_file: Path | None = None) -> Key:
    """The key from `key_file`, else from the environment variable PERSONDAYS_KEY.

    Raises UserError when there is none or it is malformed.
    """
    if key_file is not None:
        try:
            return parse_key(key_file.read_text(), f"{key_file}")
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(
                f"cannot read the key file {key_file} ({error}). Make one with `persondays new-key {key_file}`."
            ) from None
    text = os.environ.get(ENVIRONMENT_VARIABLE, "")
    if not text:
        raise UserError(
            "no key: people and recordings are stored under keyed ids only. Make a key with "
            "`persondays new-key FILE`, keep it outside the store, and give it with --key-file FILE or in the "
            f"environment variable {ENVIRONMENT_VARIABLE}."
        )
    return parse_key(text, f"the environment variable {ENVIRONMENT_VARIABLE}")


def write_new_key(path: Path) -> None:
    """Write a new random key to `path`, readable by its owner alone; refuses to overwrite."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise UserError(f"{path} exists: a key is never overwritten. Choose another file name.") from None
    except OSError as error:
        raise UserError(f"cannot write the key file {path}: {error.strerror}.") from None
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_hex(32) + "\n")
