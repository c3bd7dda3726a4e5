"""A bot's keys as one place keeps them: read back as they were written, by every version."""

from __future__ import annotations

from app.storage.key_record import KeyRecord


def test_it_reads_back_what_it_wrote() -> None:
    record = KeyRecord((b"gAAA1", b"gAAA2"), frozenset({b"\1\2\3\4", b"\0\0\0\1"}), frozenset({b"\xff\xff\xff\xff"}))
    assert record.packed() == b"gAAA1\ngAAA2\n-00000001\n-01020304\n?ffffffff"
    assert KeyRecord.parse(record.packed()) == record


def test_nothing_is_an_empty_record() -> None:
    assert KeyRecord.parse(None) == KeyRecord.parse(b"") == KeyRecord.parse(KeyRecord().packed()) == KeyRecord()
