"""The reader of TensorFlow's checkpoints, on a table that is written here byte by byte."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from pocketmood.errors import RunError
from teacher.musicnn.checkpoint import read_checkpoint


def varint(value: int) -> bytes:
    found = b""
    while value > 127:
        found, value = found + bytes([value & 127 | 128]), value >> 7
    return found + bytes([value])


def entry(kind: int, shape: tuple[int, ...], offset: int, size: int) -> bytes:
    """Write a BundleEntryProto: type, shape (a message of messages), offset, size, checksum."""
    sizes = b"".join(b"\x12" + varint(len(part)) + part for part in (b"\x08" + varint(side) for side in shape))
    places = (b"\x20" + varint(offset) if offset else b"") + b"\x28" + varint(size)
    return b"\x08" + varint(kind) + b"\x12" + varint(len(sizes)) + sizes + places + b"\x35" + bytes(4)


def block(rows: list[tuple[bytes, bytes]]) -> bytes:
    """Write a block with shared prefixes, its one restart, its type (not compressed) and its checksum."""
    found, before = b"", b""
    for key, value in rows:
        shared = (
            len(before) - len(before.lstrip())
            if not before
            else next(
                (i for i, (a, b) in enumerate(zip(before, key, strict=False)) if a != b), min(len(before), len(key))
            )
        )
        found += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        before = key
    return found + struct.pack("<II", 0, 1)


def table(rows: list[tuple[bytes, bytes]]) -> bytes:
    """Write a LevelDB table of one block."""
    data = block(rows)
    written = data + bytes(5)
    index_place, index = len(written), block([(b"zzz", varint(0) + varint(len(data)))])
    written += index + bytes(5)
    handles = varint(0) + varint(0) + varint(index_place) + varint(len(index))
    return written + handles.ljust(40, b"\0") + struct.pack("<Q", 0xDB4775248B80FB57)


ROWS = [
    (b"", b"\x08\x01\x1a\x02\x08\x01"),  # the header: one shard, a version
    (b"conv2d/bias", entry(1, (2,), 0, 8)),
    (b"conv2d/kernel", entry(1, (300, 1), 8, 1200)),
    (b"conv2d_1/steps", entry(9, (), 1208, 8)),  # int64: left out
    (b"scalar", entry(1, (), 1216, 4)),
]
BLOB = np.concatenate([np.array([1.5, -2]), np.arange(300), np.zeros(2), np.array([7])]).astype("<f4").tobytes()


def test_tensors_come_back_by_name_and_shape() -> None:
    found = read_checkpoint(table(ROWS), BLOB)
    assert sorted(found) == ["conv2d/bias", "conv2d/kernel", "scalar"]
    assert found["conv2d/bias"].tolist() == [1.5, -2]
    assert found["conv2d/kernel"].shape == (300, 1)
    assert found["conv2d/kernel"][299, 0] == 299
    assert found["scalar"].shape == () and float(found["scalar"]) == 7


@pytest.mark.parametrize(
    ("index", "blob"), [(b"a login page", BLOB), (table(ROWS)[:-3], BLOB), (table(ROWS)[30:], BLOB), (table(ROWS), b"")]
)
def test_damage_is_an_error_of_ours(index: bytes, blob: bytes) -> None:
    with pytest.raises(RunError, match="damaged: no TensorFlow checkpoint"):
        read_checkpoint(index, blob)
