"""One version of one package is read, and everything else is refused by name."""

import pytest

from gateway.core.errors import ConfigError
from gateway.models.pinned import Pinned, parse_pinned

HASH = f"sha256:{'0a' * 32}"


@pytest.mark.parametrize("text", ["a==1", "A_b.c-d == 1!2.0.post1", "a== 1.0rc1"])
def test_a_version_is_read_as_it_is_written(text: str) -> None:
    assert str(parse_pinned(text)) == text.replace(" ", "")


def test_the_hashes_of_a_package_s_files_stand_behind_it() -> None:
    one = parse_pinned(f"a==1 --hash={HASH}")
    assert one == Pinned("a", "1", (HASH,))
    assert one.line == f"a==1 --hash={HASH}"
    assert parse_pinned(f"a==1 --hash={HASH} --hash={HASH}").hashes == (HASH, HASH)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a", "not pinned"),
        ("a>=1", "not pinned"),
        ("a===1", "not pinned"),
        ("a==1,==2", "not pinned"),
        ("a==1.*", "no whole, public"),
        ("a==1+cpu", "no whole, public"),
        ("a[b]==1", "extras"),
        ("a==1; os_name == 'posix'", "markers"),
        ("a @ https://example.com/a-1.zip", "URL"),
        (f"a==1 --hash={HASH.upper()}", "SHA-256"),
        (f"a==1 --hash={HASH[:-1]}", "SHA-256"),
    ],
)
def test_what_is_wrong_is_said(text: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason) as caught:
        parse_pinned(text)
    assert "NAME==VERSION --hash=sha256:" in caught.value.hint


@pytest.mark.parametrize(
    ("name", "version", "hashes"),
    [
        ("-e", "1", ()),
        ("a b", "1", ()),
        ("a\n-e x", "1", ()),
        ("a", "1\n-e x", ()),
        ("a", "1 ", ()),
        ("a", "", ()),
        ("a", "1", (f"{HASH}\n-e x",)),
    ],
)
def test_no_part_can_hold_more_than_itself(
    name: str, version: str, hashes: tuple[str, ...]
) -> None:
    with pytest.raises(ConfigError):
        Pinned(name, version, hashes)
