"""Keyed ids: a store knows participants, recordings and device serials only by their HMAC-SHA256 (RFC 2104).

The key is never stored. A check value of it is, so that a wrong key is refused: it would give every participant a
second identity.
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
"""Hex digits of an id that logs, reports and errors show."""


@dataclass(frozen=True, repr=False)
class Key:
    """The secret of a store. Each method returns 64 hex digits; ids of different kinds never coincide."""

    secret: bytes

    def _id(self, kind: str, name: str) -> str:
        text = f"{kind}:{name}".encode(errors="surrogateescape")  # file names need not be UTF-8
        return hmac.new(self.secret, text, sha256).hexdigest()

    def participant(self, name: str) -> str:
        """The id of a participant."""
        return self._id("participant", name)

    def recording(self, name: str) -> str:
        """The id of a recording; `name` is its path relative to the folder of recordings."""
        return self._id("recording", name)

    def device(self, serial: str) -> str:
        """The id of a device, from its serial number."""
        return self._id("device", serial)

    @property
    def check(self) -> str:
        """The value by which a store recognises its key; it reveals nothing about the key."""
        return self._id("check", "persondays-store")


def parse_key(text: str, where: str) -> Key:
    """The key with these 64 hex digits; raises UserError, which never shows the text."""
    try:
        secret = bytes.fromhex(text.strip())
    except ValueError:
        secret = b""
    if len(secret) != 32:
        raise UserError(
            f"the key in {where} is not usable: expected 64 hex digits, found {len(text.strip())} other characters. "
            "Create one with `persondays new-key FILE`."
        )
    return Key(secret)


def load_key(key_file: Path | None = None) -> Key:
    """The key from `key_file`, else from the environment variable PERSONDAYS_KEY.

    Raises UserError when there is none, or it is malformed.
    """
    if key_file is not None:
        try:
            return parse_key(key_file.read_text(), f"{key_file}")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or error
            raise UserError(
                f"cannot read the key file {key_file} ({reason}). Create one with `persondays new-key {key_file}`."
            ) from None
    text = os.environ.get(ENVIRONMENT_VARIABLE, "")
    if not text:
        raise UserError(
            "no key: participants and recordings are stored by keyed ids only. Create a key with "
            "`persondays new-key FILE`, keep it outside the store, and give it with --key-file FILE or in the "
            f"environment variable {ENVIRONMENT_VARIABLE}."
        )
    return parse_key(text, f"the environment variable {ENVIRONMENT_VARIABLE}")


def write_new_key(path: Path) -> None:
    """Write a new random key to `path`, readable only by its owner; raises UserError where a file exists."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise UserError(f"{path} exists, and a key is never overwritten. Choose another file name.") from None
    except OSError as error:
        raise UserError(f"cannot write the key file {path}: {error.strerror}.") from None
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_hex(32) + "\n")
