"""YAML with placeholders: a value is one scalar, whatever it holds."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from app.core.document import Document, parse_document, read_document


def parsed(text: str, **env: str) -> Document:
    return parse_document(text, "bot.yaml", Path("/nonexistent"), env)


INJECTIONS = [
    "a: b",
    "x\nadmin: true",
    "]}, allow_plaintext: true",
    '"',
    "'",
    "# comment",
    "*alias",
    "&anchor x",
    "!!python/object/apply:os.system [id]",
    "- item",
    "null",
    "true",
    "---\nb: c",
    "${OTHER}",
    "{{OTHER}}",
    "file:/etc/passwd",
    "\ue0000\ue001",
]
PLACES = [
    ("key: ${X}", ("key",)),
    ("key: {{X}}", ("key",)),
    ("key: {{ X }}", ("key",)),
    ('key: "${X}"', ("key",)),
    ("key: '{{X}}'", ("key",)),
    ("outer: {key: ${X}}", ("outer", "key")),
    ("outer: {key: {{X}}}", ("outer", "key")),
    ("key: |\n  ${X}", ("key",)),
    ("key: >-\n  {{X}}", ("key",)),
]


@pytest.mark.parametrize("value", INJECTIONS)
@pytest.mark.parametrize(("text", "path"), PLACES)
def test_a_value_cannot_bring_structure_with_it(text: str, path: tuple[str, ...], value: str) -> None:
    document = parsed(text, X=value, OTHER="not this")

    assert document.faults == ()
    found: object = document.data
    for part in path:
        assert isinstance(found, dict)
        assert list(found) == [part]
        found = found[part]
    assert isinstance(found, str)
    assert found.removesuffix("\n") == value


@given(st.text(st.characters(codec="utf-8")))
def test_any_value_arrives_as_it_is(value: str) -> None:
    document = parsed("a: [{{X}}, 'x${X}y']\nb: 1", X=value)
    assert document.data == {"a": [value, f"x{value}y"], "b": 1}


def test_escaped_signs_stand_for_themselves() -> None:
    assert parsed("a: '$${X}'\nb: '$${{X}}'", X="value").data == {"a": "${X}", "b": "{{X}}"}


def test_a_missing_variable_names_variable_file_key_and_line() -> None:
    document = parsed("a: 1\nb: {c: ${NOT_THERE}}")
    assert [str(fault) for fault in document.faults] == [
        "bot.yaml: b.c: the environment variable NOT_THERE is not set (line 2)"
    ]
    assert document.unresolved == {("b", "c")}


@pytest.mark.parametrize("text", ["a: ${}", "a: ${1X}", "a: ${X:-default}", "a: ${{X}}"])
def test_what_looks_like_a_placeholder_and_is_none_is_a_fault(text: str) -> None:
    (fault,) = parsed(text, X="value").faults
    assert fault.key == "a"
    assert "${NAME}" in fault.problem


def test_placeholders_in_comments_ask_for_nothing() -> None:
    assert parsed("a: 1  # ${NOT_THERE} {{NOR_THIS}} ${").faults == ()


def test_a_mounted_file_gives_its_text_without_the_last_line_break(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s3cret: [\n")
    (tmp_path / "bot.yaml").write_text(f"a: file:secret\nb: file:{tmp_path}/secret\nc: file:${{DIR}}/secret\n")

    document = read_document(tmp_path / "bot.yaml", {"DIR": str(tmp_path)})

    assert document.data == dict.fromkeys("abc", "s3cret: [")
    assert document.mounted == (tmp_path / "secret",) * 3


def test_a_mounted_file_that_is_missing_is_a_fault(tmp_path: Path) -> None:
    (fault,) = parse_document("a: file:gone", "bot.yaml", tmp_path, {}).faults
    assert str(fault) == "bot.yaml: a: the file gone cannot be read: No such file or directory (line 1)"


def test_the_digest_follows_the_text_the_environment_and_mounted_files(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("one")
    text = f"a: ${{X}}\nb: file:{secret}"
    first = parsed(text, X="1").digest
    assert parsed(text, X="1").digest == first
    assert parsed(text, X="2").digest != first
    assert parsed(text + "\n", X="1").digest != first
    secret.write_text("two")
    assert parsed(text, X="1").digest != first


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: 1\na: 2", "a: written twice"),
        ("- a", "expected keys with values"),
        ("just words", "expected keys with values"),
        ("a: x\n---\nb: y", "another document"),
        ("a: [1", "not YAML"),
        ("a: \tb\n\tc: d", "not YAML"),
        ("a: !!python/name:os.system x", "tag that is not allowed"),
        ("a: !!int word", "does not fit"),
        ("${X}: 1", "not in keys"),
        ("? [a]\n: b", "a key must be a word"),
        ("a: &a [*a]", "more than 10000 values or 50 levels"),
        ("a: &a [1,1,1,1,1,1,1,1,1]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n"
         "d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: [*d,*d,*d,*d,*d,*d,*d,*d,*d]", "more than 10000 values"),
        ("a: \ue000", "private-use"),
        ("a: \x07", "not allow"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_a_fault_and_no_exception(text: str, says: str) -> None:
    assert says in "\n".join(str(fault) for fault in parsed(text, X="key").faults)


@pytest.mark.parametrize(
    "text", ["a: *s3cret-token", "a: &s3cret\nb: &s3cret x", "a: !s3cret x", "a: !s3cret!x y", "a: 's3cret"]
)
def test_a_parsers_complaint_quotes_nothing_from_the_file(text: str) -> None:
    assert "s3cret" not in str(parsed(text))


@given(st.text())
def test_no_text_makes_the_reading_raise(text: str) -> None:
    document = parsed(text)
    assert isinstance(document.data, dict)


def test_values_are_what_they_look_like() -> None:
    text = "a: 12:30\nb: 2024-01-01\nc: 0123\non: off\nd: 1_000\ne: 1.5\nf: ~\ng: '5'\nh:\ni: 0x10"
    assert parsed(text).data == {
        "a": "12:30", "b": "2024-01-01", "c": "0123", "on": False, "d": 1000, "e": 1.5, "f": None, "g": "5", "h": None,
        "i": "0x10",
    }  # fmt: skip


LEAVES = st.none() | st.booleans() | st.integers() | st.text("abc :#-[]{}'\"\n")
KEYS = st.text("abc", min_size=1)
TREES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4))


@given(TREES)
def test_plain_yaml_reads_as_pyyaml_reads_it(value: object) -> None:
    assert parsed(yaml.safe_dump({"a": value})).data == {"a": value}


def test_unreadable_files_are_faults(tmp_path: Path) -> None:
    path = tmp_path / "bot.yaml"
    path.write_bytes(b"a: \xff")
    assert "not UTF-8" in str(read_document(path, {}).faults[0])
    path.write_bytes(b"#" * (1 << 20) + b"##")
    assert "larger than" in str(read_document(path, {}).faults[0])
    assert "cannot be read" in str(read_document(tmp_path, {}).faults[0])


def test_secrets_are_in_no_repr() -> None:
    assert "s3cret" not in repr(parsed("a: s3cret\nb: ${X}", X="s3cret"))
