# SPDX-License-Identifier: Apache-2.0
"""Records as all the clients here give them, so that what one wrote another can be asked for."""

from typing import NamedTuple, Optional

CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
BASE_TIME_MS = 1_700_000_000_000


class Record(NamedTuple):
    """key, value: bytes or None. headers: tuple of (str, bytes or None)."""

    key: Optional[bytes]
    value: Optional[bytes]
    headers: tuple = ()
    timestamp: Optional[int] = None
    offset: Optional[int] = None

    def placed(self, offset):
        return self._replace(offset=offset)


def samples(count=60, base_time=BASE_TIME_MS):
    """Records that differ from each other in all that a record has: nulls, empties, every byte,
    headers with the same name and without value, text beyond ASCII."""
    records = []
    for i in range(count):
        key = None if i % 5 == 0 else b"" if i % 11 == 1 else f"key-{i % 7}".encode()
        value = None if i % 7 == 3 else b"" if i % 13 == 2 else b"%d:" % i + bytes(range(256)) * (i % 4)
        headers = ()
        if i % 3 == 0:
            headers = (("h", b"%d" % i), ("h", b"again"), ("none", None), ("empty", b""))
        elif i % 3 == 1:
            headers = (("grün", "süß".encode()),)
        records.append(Record(key, value, headers, base_time + 1000 * i))
    return records


def placed(records, first=0):
    """The records with the offsets that they get one after the other."""
    return [record.placed(first + i) for i, record in enumerate(records)]


def plain(records):
    """Those that also the Python clients can write: with key or value, and no header without one."""
    return [record._replace(headers=tuple(h for h in record.headers if h[1] is not None))
            for record in records if record.key is not None or record.value is not None]


def numbered(count, base_time=BASE_TIME_MS):
    """One record a second, each value its number."""
    return [Record(b"k", b"%d" % i, (), base_time + 1000 * i) for i in range(count)]
