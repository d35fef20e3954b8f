"""Recordings of every supported device, one module each; a `.gz` or `.zip` around one is unwrapped.

Which module reads a file is told by its content, not by its name: a .cwa renamed .bin is still an Axivity's.
Names only say which files of a folder are recordings, because a folder is listed without reading.

Another device is one module (`Device` says what it has) and one entry point of the group `persondays.devices`,
named by the suffix of its files without the dot (docs/adding-a-device.md). Errors are UserError, whose message
never holds the file's name: only the caller knows whether that may be shown.
"""

from __future__ import annotations

import io
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, BinaryIO, Protocol

from ingest.devices.io.ends import END_BYTES, Ends, count_ends, read_ends
from ingest.devices.io.mapped import let_go
from ingest.devices.io.wrapped import GZIP_SUFFIX, ZIP_SUFFIX, Inside, is_wrapped, read_all, unwrap
from ingest.recording import Probe, Recording
from ingest.settings import TableSettings
from pipeline.errors import UserError

TABLE = "ingest.devices.table.reader"
DEVICES = {
    ".cwa": "ingest.devices.axivity.reader",
    ".gt3x": "ingest.devices.actigraph.reader",
    ".bin": "ingest.devices.geneactiv.reader",
    ".csv": TABLE,
    ".parquet": TABLE,
}
"""Suffix to the module that reads such files, in the order in which they are asked whether a file is theirs: tables,
which hold anything, come last. They alone are no `Device`: they have to be told what they do not tell themselves."""

GROUP = "persondays.devices"
WRAPPINGS = (GZIP_SUFFIX, ZIP_SUFFIX)
NOTHING_TOLD = TableSettings()
BUFFER_BYTES = 1 << 20
MOST_LAYERS = 2
"""A .cwa.gz in a .zip, and no deeper."""


class Device(Protocol):
    """What a device module has."""

    def recognises(self, head: bytes) -> bool:
        """Whether a file that begins so (64 KB, or all of it) is a recording of this device."""
        ...

    def probe(self, ends: Ends) -> Probe:
        """What the ends of a recording tell without reading it."""
        ...

    def decode(self, data: Any) -> Recording:
        """The recording in the bytes of a whole file (bytes, a memory map, any buffer)."""
        ...


@cache
def devices() -> tuple[tuple[str, str], ...]:
    """Suffixes and the modules that read such files: of the devices that are installed beside ours, then of ours."""
    installed = sorted((f".{point.name.lower()}", point.value) for point in entry_points(group=GROUP))
    return (*installed, *DEVICES.items())


def kinds() -> str:
    """How the names of recordings end, in words."""
    return f"{', '.join(dict.fromkeys(suffix for suffix, _ in devices()))}, also with .gz or .zip behind"


def suffixes() -> tuple[str, ...]:
    """How the names of recordings end."""
    return (*(suffix + wrapping for suffix, _ in devices() for wrapping in ("", *WRAPPINGS)), ZIP_SUFFIX)


def is_recording(name: str) -> bool:
    """Whether a file name, path or URL is that of a recording: by its suffix, in any case.

    Names that begin with a dot or an underscore are not: copies leave such files behind, and other tables may stand
    beside recordings under one.
    """
    return name.lower().endswith(suffixes()) and not name.rsplit("/", 1)[-1].startswith((".", "_"))


def probe(file: BinaryIO, name: str, size: int, told: TableSettings = NOTHING_TOLD) -> Probe:
    """Device, span and size of a recording, from its ends; `file` is seekable and has `size` bytes.

    What is wrapped is decompressed once in a stream. Raises UserError for what is no recording.
    """
    content, head, device = _content(file, name)
    inside = isinstance(content, Inside)
    ends = count_ends(io.BufferedReader(content, BUFFER_BYTES)) if inside else read_ends(file, size, head)
    return device.probe(ends, *_told(device, told))


def decode(data: Any, name: str, told: TableSettings = NOTHING_TOLD) -> Recording:
    """The recording in the bytes of a whole file (bytes, memory map, any buffer); raises UserError.

    The memory of a NumPy memory map is given back.
    """
    content, device = data, _recognised(bytes(memoryview(data)[:END_BYTES]))
    if device is None:
        content, _, device = _content(io.BytesIO(data), name)
        if not isinstance(content, Inside):
            content = data
        elif not _told(device, told):
            content = read_all(content)
    try:
        recording: Recording = device.decode(content, *_told(device, told))
    finally:
        let_go(data)
    return recording


def _told(device: Any, told: TableSettings) -> tuple[TableSettings, ...]:
    """What a module is given beside the file: tables what the user tells of them."""
    return (told,) if device.__name__ == TABLE else ()


def _content(file: BinaryIO, name: str) -> tuple[Any, bytes, Any]:
    """What a file holds below its wrappings (an Inside, or the file itself), its head, and the module that reads it.

    What no module recognises goes to the one that its name tells, the outermost first: that can say what is wrong.
    """
    content: Any = file
    layers: list[tuple[Any, bytes, str]] = []
    for _ in range(MOST_LAYERS + 1):
        head = _head(content)
        if device := _recognised(head):
            return content, head, device
        layers.append((content, head, name))
        if not is_wrapped(head):
            break
        try:
            content = unwrap(content, name, is_recording)
        except UserError:
            if _named(name) is None:
                raise
            break
        name = content.name
    else:
        raise UserError(
            f"a recording is wrapped in .gz or .zip at most {MOST_LAYERS} times; this one is more often: unpack it."
        )
    for layer, head, called in layers:
        if device := _named(called):
            return layer, head, device
    raise _unknown(name)


def _head(file: BinaryIO) -> bytes:
    file.seek(0)
    head = b""
    while len(head) < END_BYTES and (more := file.read(END_BYTES - len(head))):
        head += more
    return head


def _recognised(head: bytes) -> Any:
    return next((device for device in _modules() if device.recognises(head)), None)


def _named(name: str) -> Any:
    """The module for files whose names end so; None where there is none."""
    return next((_module(suffix, module) for suffix, module in devices() if name.lower().endswith(suffix)), None)


def _unknown(name: str) -> UserError:
    low = name.lower()
    if low.endswith(WRAPPINGS):
        kind = "gzip" if low.endswith(GZIP_SUFFIX) else "zip"
        return UserError(
            f"{kind} data was expected, as the name says; its content is damaged or cut off, or of another kind. Copy "
            "the file again, or give it its true suffix."
        )
    return UserError(f"no reader knows this content; expected what files hold that end in {kinds()}.")


@cache
def _modules() -> tuple[Any, ...]:
    """All device modules, in the order in which they are asked."""
    return tuple({module: _module(suffix, module) for suffix, module in devices()}.values())


def _module(suffix: str, module: str) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        if module in DEVICES.values():
            raise
        raise UserError(
            f"the reader of {suffix} files that is installed as {module} cannot be loaded ({error}): mend or remove it."
        ) from None
