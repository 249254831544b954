from __future__ import annotations

import pytest

from isthmus.dicom.values import Charset, iso_date, iso_offset, iso_time, whole_number

YAMADA = b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B"


@pytest.mark.fault("F02")
def test_utf8_under_latin1_is_read_as_declared_with_a_warning() -> None:
    charset = Charset("ISO_IR 100")

    assert charset.text(bytes.fromhex("4DC3BC6C6C6572")) == "MÃ¼ller"
    assert list(charset.warnings) == ["a text is valid UTF-8 under another declared character set"]


@pytest.mark.fault("F02")
def test_a_high_byte_without_a_declared_set_is_a_replacement_sign_with_a_warning() -> None:
    charset = Charset("")

    assert charset.text(b"M\xfcller") == "M\ufffdller"
    assert list(charset.warnings) == ["a text does not fit its declared character set"]


@pytest.mark.fault("F02")
@pytest.mark.parametrize(
    ("declared", "raw", "text"),
    [
        ("ISO IR 100", b"M\xfcller", "Müller"),
        ("UTF-8", "Müller".encode(), "Müller"),
        ("\\ISO_IR 192", "Łuk".encode(), "Łuk"),
    ],
)
def test_a_careless_declaration_is_understood_with_a_warning(declared: str, raw: bytes, text: str) -> None:
    charset = Charset(declared)

    assert charset.text(raw) == text
    assert charset.warnings


@pytest.mark.parametrize(
    ("declared", "raw", "text"),
    [
        ("ISO_IR 192", "Jérôme".encode(), "Jérôme"),
        ("ISO_IR 126", "Διον".encode("iso8859_7"), "Διον"),
        ("ISO_IR 144", "Люк".encode("iso8859_5"), "Люк"),
        ("GB18030", "王^小东".encode("gb18030"), "王^小东"),
        ("ISO_IR 13", b"\xd4\xcf\xc0\xde", "ﾔﾏﾀﾞ"),
    ],
)
def test_a_text_is_read_in_its_declared_set(declared: str, raw: bytes, text: str) -> None:
    charset = Charset(declared)

    assert charset.text(raw, name=True) == text
    assert not charset.warnings


@pytest.mark.fault("F03")
def test_japanese_by_code_extensions() -> None:
    charset = Charset("\\ISO 2022 IR 87")

    assert charset.text(YAMADA, name=True) == "Yamada^Tarou=山田^太郎=やまだ^たろう"
    assert not charset.warnings


@pytest.mark.fault("F03")
def test_korean_in_the_upper_half_needs_its_escape_again_after_each_delimiter() -> None:
    raw = b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7=\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6\xb5\xbf"  # PS3.5 §I.2

    assert Charset("\\ISO 2022 IR 149").text(raw, name=True) == "Hong^Gildong=洪^吉洞=홍^길동"


@pytest.mark.fault("F03")
def test_the_first_set_is_back_after_a_delimiter() -> None:
    raw = b"\x1b-H\xf9\xe5\xed^\xe4"

    assert Charset("ISO 2022 IR 100\\ISO 2022 IR 138").text(raw, name=True) == "שום^ä"


@pytest.mark.fault("F03")
def test_a_hebrew_letter_of_byte_e5_delimits_nothing() -> None:
    assert Charset("\\ISO 2022 IR 138").text(b"\x1b-H\xf9\xe5\xed", name=True) == "שום"


def test_an_unknown_escape_costs_a_replacement_sign_and_a_warning() -> None:
    charset = Charset("\\ISO 2022 IR 87")

    assert charset.text(b"ab\x1b%Gcd") == "ab\ufffd%Gcd"
    assert charset.warnings


@pytest.mark.fault("F14")
@pytest.mark.parametrize(
    ("text", "iso"),
    [
        ("20240229", "2024-02-29"),
        ("2024.02.29", "2024-02-29"),
        ("202402", "2024-02"),
        ("2024", "2024"),
        ("00000000", None),
        ("20190229", None),
        ("0000-00-00", None),
        ("20241301", None),
        ("２０２４", None),
        ("", None),
    ],
)
def test_a_date_is_one_of_the_calendar_or_none(text: str, iso: str | None) -> None:
    assert iso_date(text) == iso


@pytest.mark.parametrize(
    ("text", "iso"),
    [("001500", "00:15:00"), ("0715", "07:15"), ("07", "07"), ("235960.5", "23:59:59.5"), ("10:20:30", "10:20:30")]
    + [("240000", None), ("1299", None), ("1", None), ("noon", None)],
)
def test_a_time_is_one_of_the_day_or_none(text: str, iso: str | None) -> None:
    assert iso_time(text) == iso


def test_an_offset_is_written_as_iso_does() -> None:
    assert [iso_offset(text) for text in ("+0200", "-0330", "+9900", "Z")] == ["+02:00", "-03:30", None, None]


@pytest.mark.fault("F22")
@pytest.mark.parametrize("text", ["14.5", "1A", "@", "NaN", "9" * 20, "2147483648", ""])
def test_what_is_no_whole_number_is_absent(text: str) -> None:
    assert whole_number(text) is None


def test_a_whole_number_may_have_a_sign() -> None:
    assert [whole_number(text) for text in ("+7", "-3", "007")] == [7, -3, 7]
