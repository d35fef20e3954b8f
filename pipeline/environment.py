"""The environment that every command needs, whatever the user's is: names in UTF-8, local servers without a proxy."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

LOOPBACK = ("localhost", "127.0.0.1", "::1")


def without_proxy_for_loopback(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables to set so that a proxy is not asked for servers on this machine; none without a proxy.

    Libraries read either spelling, so both are set.
    """
    proxies = {name for name, value in environment.items() if name.lower().endswith("_proxy") and value}
    if not proxies - {"no_proxy", "NO_PROXY"}:
        return {}
    given = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    names = [name.strip() for name in given.split(",") if name.strip()]
    if "*" in names:
        return {}
    value = ",".join([*names, *(name for name in LOOPBACK if name not in names)])
    return {"no_proxy": value, "NO_PROXY": value}


def prepare() -> None:
    """Adapt the environment of this process, which those that it starts inherit.

    In a locale without UTF-8, the process starts again in Python's UTF-8 mode: the compiled libraries take every name
    to be UTF-8, so they would not find a file whose name Python has decoded otherwise.
    """
    os.environ.update(without_proxy_for_loopback(os.environ))
    if sys.getfilesystemencoding().lower() != "utf-8" and os.environ.get("PYTHONUTF8") != "1":
        os.environ["PYTHONUTF8"] = "1"
        os.execv(sys.executable, sys.orig_argv)
