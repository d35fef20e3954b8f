"""Find the module that reads a recording, and read it; a `.gz` or `.zip` around the recording is unwrapped.

The content of a file decides which module reads it, not its name: a .cwa renamed to .bin is still an Axivity recording.
Names only decide which files of a folder are recordings, because a folder is listed without reading its files.

Another device is one module (see `DeviceModule`) and one entry point of the group `persondays.devices`, named by the
suffix of its files without the dot (docs/adding-a-device.md). Errors are UserError. Their messages never contain the
file's name: only the caller knows whether it may be shown.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, BinaryIO, Protocol

from ingest.devices.io.ends import END_BYTES, Ends, read_ends, read_ends_of_stream
from ingest.devices.io.mapped import release_pages
from ingest.devices.io.wrapped import GZIP_SUFFIX, ZIP_SUFFIX, UnwrappedFile, is_wrapped, read_all, unwrap
from ingest.devices.joined import REMEDY, join, of_part
from ingest.recording import Probe, Recording
from ingest.settings import SignalSettings, TableSettings
from pipeline.errors import UserError

TABLE = "ingest.devices.table.reader"
DEVICES = {
    ".cwa": "ingest.devices.axivity.reader",
    ".gt3x": "ingest.devices.actigraph.reader",
    ".bin": "ingest.devices.geneactiv.reader",
    ".csv": TABLE,
    ".parquet": TABLE,
}
"""Suffix to the module that reads such files, in the order in which modules are asked whether they recognise a file.

Tables come last, because almost any text is one. Their module differs from a `DeviceModule`: `probe` and `decode` also
take the settings with which a user states what a table leaves open."""

GROUP = "persondays.devices"
WRAPPINGS = (GZIP_SUFFIX, ZIP_SUFFIX)
NO_TABLE_SETTINGS = TableSettings()
NO_SIGNAL_SETTINGS = SignalSettings()
BUFFER_BYTES = 1 << 20
MAX_LAYERS = 2
"""Wrappings around a recording: a .cwa.gz in a .zip, and no deeper."""


class DeviceModule(Protocol):
    """The functions of a device module."""

    def recognises(self, head: bytes) -> bool:
        """Return whether a file with this head (its first 64 KB, or all of it) is a recording of this device."""
        ...

    def probe(self, ends: Ends) -> Probe:
        """Return what the two ends of a recording show without reading it all."""
        ...

    def decode(self, data: Any) -> Recording:
        """Return the recording in the bytes of a complete file (bytes, a memory map, any buffer)."""
        ...


@cache
def devices() -> tuple[tuple[str, str], ...]:
    """Pairs of suffix and module: first those of installed packages, then our own."""
    installed = sorted((f".{point.name.lower()}", point.value) for point in entry_points(group=GROUP))
    return (*installed, *DEVICES.items())


def suffix_words() -> str:
    """The suffixes of recordings, as words for a message."""
    return f"{', '.join(dict.fromkeys(suffix for suffix, _ in devices()))}, optionally followed by .gz or .zip"


def suffixes() -> tuple[str, ...]:
    """All suffixes of recordings."""
    return (*(suffix + wrapping for suffix, _ in devices() for wrapping in ("", *WRAPPINGS)), ZIP_SUFFIX)


def is_recording(name: str) -> bool:
    """Return whether a file name, path or URL is that of a recording, by its suffix in any case.

    Names that begin with a dot or an underscore are not: copies leave such files behind, and an underscore marks tables
    that are stored beside recordings.
    """
    return name.lower().endswith(suffixes()) and not name.rsplit("/", 1)[-1].startswith((".", "_"))


def probe(file: BinaryIO, name: str, size: int, table_settings: TableSettings = NO_TABLE_SETTINGS) -> Probe:
    """Return device, span and size of a recording from its ends; `file` is seekable and has `size` bytes.

    A wrapped recording is decompressed once as a stream. Raises UserError for a file that is not a recording.
    """
    content, head, device = _content(file, name)
    if isinstance(content, UnwrappedFile):
        ends = read_ends_of_stream(io.BufferedReader(content, BUFFER_BYTES))
    else:
        ends = read_ends(file, size, head)
    return device.probe(ends, *_extra_arguments(device, table_settings))


def decode(
    data: Any,
    name: str,
    table_settings: TableSettings = NO_TABLE_SETTINGS,
    signal_settings: SignalSettings = NO_SIGNAL_SETTINGS,
) -> Recording:
    """Return the recording in the bytes of a complete file (bytes, memory map, any buffer); raises UserError.

    The signal settings give the zone of a table's stamps. Memory of a NumPy memory map is released afterwards.
    """
    content, device = _unwrapped(data, name)
    try:
        recording: Recording = device.decode(content, *_extra_arguments(device, table_settings, signal_settings))
    finally:
        release_pages(data)
    return recording


@dataclass(frozen=True)
class Part:
    """A file of a recording in several: the label that identifies it in messages, a name, and how to read its bytes."""

    label: str
    name: str
    read: Callable[[], Any]


def decode_parts(
    parts: Sequence[Part],
    table_settings: TableSettings = NO_TABLE_SETTINGS,
    signal_settings: SignalSettings = NO_SIGNAL_SETTINGS,
) -> Recording:
    """Return the recording in several files, whatever their order.

    The files of a device are read one after the other, those of a table row by row. Raises UserError where a part
    cannot be decoded, or where the parts do not make one recording.
    """
    recordings: list[Recording] = []
    tables: list[Any] = []
    for part in parts:
        data = part.read()
        with of_part(part.label, len(parts)):
            content, device = _unwrapped(data, part.name)
            if device.__name__ == TABLE:
                tables.append(content)
                continue
            recordings.append(device.decode(content))
            release_pages(data)
    labels = [part.label for part in parts]
    if not tables:
        return join(labels, recordings)
    if recordings:
        raise UserError(f"{len(tables):,} of its {len(parts):,} parts are tables, others are of a device. {REMEDY}")
    joined: Recording = import_module(TABLE).decode_parts(labels, tables, table_settings, signal_settings)
    return joined


def _unwrapped(data: Any, name: str) -> tuple[Any, Any]:
    """Return the content of a file below all wrappings, and its module; tables remain streams."""
    device = _recognised(bytes(memoryview(data)[:END_BYTES]))
    if device is not None:
        return data, device
    content, _, device = _content(io.BytesIO(data), name)
    if not isinstance(content, UnwrappedFile):
        return data, device
    return content if device.__name__ == TABLE else read_all(content), device


def _extra_arguments(device: Any, *settings: TableSettings | SignalSettings) -> tuple[Any, ...]:
    return settings if device.__name__ == TABLE else ()


def _content(file: BinaryIO, name: str) -> tuple[Any, bytes, Any]:
    """Return the content below all wrappings (an UnwrappedFile, or the file itself), its head, and its module.

    Content that no module recognises goes to the module that a name suggests, the outermost name first: that module can
    explain what is wrong with the file.
    """
    content: Any = file
    layers: list[tuple[Any, bytes, str]] = []
    for _ in range(MAX_LAYERS + 1):
        head = _head(content)
        if device := _recognised(head):
            return content, head, device
        layers.append((content, head, name))
        if not is_wrapped(head):
            break
        try:
            content = unwrap(content, name, is_recording)
        except UserError:
            if _module_for(name) is None:
                raise
            break
        name = content.name
    else:
        raise UserError(
            f"expected a recording inside at most {MAX_LAYERS} layers of .gz or .zip; found more. Unpack it first."
        )
    for layer, head, layer_name in layers:
        if device := _module_for(layer_name):
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


def _module_for(name: str) -> Any:
    """The module for files with this suffix, or None."""
    return next((_module(suffix, module) for suffix, module in devices() if name.lower().endswith(suffix)), None)


def _unknown(name: str) -> UserError:
    low = name.lower()
    if low.endswith(WRAPPINGS):
        kind = "gzip" if low.endswith(GZIP_SUFFIX) else "zip"
        return UserError(
            f"expected {kind} data, by the file's suffix; the content is damaged, cut off or of another kind. Copy the "
            "file again, or correct its suffix."
        )
    return UserError(f"no reader recognises this content; expected a recording: {suffix_words()}.")


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
            f"the installed reader of {suffix} files, {module}, cannot be loaded ({error}). Repair or remove it."
        ) from None
