"""Reads a TensorFlow checkpoint without TensorFlow: an index of names, shapes and places, and a blob of numbers.

The index is a LevelDB table: blocks of keys that share prefixes, found through a block of handles that the file's
footer points to. Its values are protocol buffers (`BundleEntryProto`): 1 type, 2 shape, 4 offset, 5 size. Of the types
only float32 is read, little-endian; other entries (step counters) are left out. What is read was checked against a
pinned SHA-256 before, so that nothing here guards against malice; damage is a RunError.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pocketmood.errors import RunError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_MAGIC = 0xDB4775248B80FB57
"""Last eight bytes of every LevelDB table."""
_FOOTER_BYTES, _FLOAT32 = 48, 1


def read_checkpoint(index: bytes, blob: bytes) -> dict[str, NDArray[np.float32]]:
    """Return the float32 tensors of a checkpoint by name; RunError for what is none."""
    import numpy as np

    tensors = {}
    try:
        for name, value in _entries(index):
            entry = dict(_fields(value))
            if not name or entry.get(1) != _FLOAT32:
                continue
            sides = [part for key, part in _fields(_bytes(entry.get(2, b""))) if key == 2]
            shape = [_integer(dict(_fields(_bytes(side))).get(1, 0)) for side in sides]
            values = np.frombuffer(blob, "<f4", _integer(entry[5]) // 4, _integer(entry.get(4, 0)))
            tensors[name.decode()] = values.reshape(shape)
    except (IndexError, KeyError, ValueError, struct.error) as error:
        raise RunError(f"damaged: no TensorFlow checkpoint can be read from it ({error!r})") from error
    return tensors


def _entries(index: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the keys and values of a table."""
    footer = index[-_FOOTER_BYTES:]
    if struct.unpack("<Q", footer[-8:])[0] != _MAGIC:
        raise ValueError("no LevelDB table")
    # Two handles of (offset, size): the first, of what describes the table, is skipped.
    place = 0
    for _ in range(2):
        _, place = _varint(footer, place)
    offset, place = _varint(footer, place)
    size, _ = _varint(footer, place)
    for _, handle in _block(index, offset, size):
        first, place = _varint(handle, 0)
        yield from _block(index, first, _varint(handle, place)[0])


def _block(index: bytes, offset: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    """Yield the keys and values of one uncompressed block."""
    block = index[offset : offset + size]
    if index[offset + size]:
        raise ValueError("a compressed block")
    # Behind the entries stand places to restart from, and their number.
    (restarts,) = struct.unpack("<I", block[-4:])
    place, key = 0, b""
    while place < len(block) - 4 * (restarts + 1):
        shared, place = _varint(block, place)
        own, place = _varint(block, place)
        length, place = _varint(block, place)
        key = key[:shared] + block[place : place + own]
        place += own
        yield key, block[place : place + length]
        place += length


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield (number, value) of a protocol buffer's fields."""
    place = 0
    while place < len(message):
        tag, place = _varint(message, place)
        value: int | bytes
        if tag & 7 == 0:
            value, place = _varint(message, place)
        elif tag & 7 == 2:
            length, place = _varint(message, place)
            value, place = message[place : place + length], place + length
        elif tag & 7 == 5:
            (value,), place = struct.unpack("<I", message[place : place + 4]), place + 4
        else:
            raise ValueError(f"a field of wire type {tag & 7}")
        yield tag >> 3, value


def _bytes(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise ValueError(f"{value} where bytes are expected")
    return value


def _integer(value: int | bytes) -> int:
    if isinstance(value, bytes):
        raise ValueError("bytes where an integer is expected")
    return value


def _varint(data: bytes, place: int) -> tuple[int, int]:
    """Read an integer of seven bits per byte, the lowest first; return it and the place behind it."""
    value = shift = 0
    while True:
        byte = data[place]
        place += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, place
