"""By its fingerprint a repeated request is known: the same content is the same, a changed file is not."""

from __future__ import annotations

import pytest
from fastapi import HTTPException

from app.control.admin.body import Body
from app.core.multipart import FormPart

FORM = Body({"to": "oc_1", "file": {}}, "file", FormPart("a.txt", b"data"))


def test_how_it_is_written_does_not_count() -> None:
    one, other = Body({"to": "oc_1", "text": "hi"}), Body({"text": "hi", "to": "oc_1"})
    assert one.fingerprint == other.fingerprint


@pytest.mark.parametrize(
    "other",
    [
        Body({"to": "oc_2", "file": {}}, "file", FormPart("a.txt", b"data")),
        Body({"to": "oc_1", "file": {}}, "file", FormPart("a.txt", b"other")),
        Body({"to": "oc_1", "file": {}}, "file", FormPart("b.txt", b"data")),
        Body({"to": "oc_1", "file": {}}, "image", FormPart("a.txt", b"data")),
        Body({"to": "oc_1", "file": {}}),
    ],
    ids=["document", "data", "name", "field", "no file"],
)
def test_what_is_sent_counts(other: Body) -> None:
    assert FORM.fingerprint == Body(dict(FORM.document), FORM.carried, FORM.part).fingerprint
    assert FORM.fingerprint != other.fingerprint


def test_what_nobody_could_write_is_refused() -> None:
    document: dict[str, object] = {}
    for _ in range(1000):
        document = {"card": document}
    with pytest.raises(HTTPException, match="nested too deeply"):
        _ = Body(document).fingerprint
