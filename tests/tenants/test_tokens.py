"""What a token may say, with good signatures throughout."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushgate.codes import Close
from pushgate.tenants import tokens
from pushgate.tenants.tokens import Claims
from tests.tenants.forge import forge, forge_raw, refused, tenants_with

NOW = 2_000_000_000
TENANTS = tenants_with()
LENIENT = tenants_with(require_exp=False)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stop the time at NOW (and a fraction, as it usually has one)."""
    monkeypatch.setattr(tokens, "time", lambda: NOW + 0.5)


@pytest.mark.usefixtures("clock")
def test_good_token() -> None:
    token = forge({"exp": NOW + 60, "tags": ["vip", "größe:L"], "nbf": NOW - 1, "iat": NOW - 1})
    assert TENANTS.check_token(token) == Claims("default", "alice", NOW + 60, ("vip", "größe:L"))
    assert TENANTS.check_token(forge({"exp": NOW + 60, "tenant": "default"})).tags == ()


@pytest.mark.usefixtures("clock")
def test_exp_holds_until_the_leeway_is_over() -> None:
    assert TENANTS.check_token(forge({"exp": NOW - 29})).expires == NOW - 29
    assert refused(TENANTS, forge({"exp": NOW - 30})) == (Close.TOKEN_EXPIRED, "expired")
    assert refused(TENANTS, forge({"exp": 0}))[0] == Close.TOKEN_EXPIRED


@pytest.mark.usefixtures("clock")
def test_exp_zero_is_1970_and_not_never() -> None:
    assert refused(LENIENT, forge({"exp": 0}))[0] == Close.TOKEN_EXPIRED


def test_missing_exp() -> None:
    assert refused(TENANTS, forge({"exp": None})) == (
        Close.TOKEN_INVALID,
        "no `exp`, and this tenant requires one",
    )
    assert LENIENT.check_token(forge({"exp": None})).expires == 0


@pytest.mark.usefixtures("clock")
def test_nbf_with_leeway() -> None:
    assert TENANTS.check_token(forge({"exp": NOW + 60, "nbf": NOW + 30}))
    assert refused(TENANTS, forge({"exp": NOW + 60, "nbf": NOW + 31})) == (
        Close.TOKEN_INVALID,
        "not valid yet (`nbf`)",
    )


@pytest.mark.parametrize("iat", [0, 4_000_000_000, 1.5, "yesterday"])
def test_iat_has_no_say(iat: object) -> None:
    assert TENANTS.check_token(forge({"iat": iat}))


@pytest.mark.parametrize("claim", ["exp", "nbf"])
@pytest.mark.parametrize(
    "number",
    [
        *("1e400", "-1e400", "NaN", "Infinity", "1.0", "2e9", "2000000000.5", "-1", "9" * 4000),
        *("true", "null", '"2000000000"', "[]", "{}"),
        *("253402300800", "2000000000000"),  # after the year 9999: milliseconds
    ],
    ids=lambda number: number[:20],
)
def test_absurd_times(claim: str, number: str) -> None:
    payload = f'{{"sub":"alice","exp":2000000000,"{claim}":{number}}}'
    close, _ = refused(LENIENT, forge_raw(b'{"alg":"HS256"}', payload.encode()))
    assert close == Close.TOKEN_INVALID


@pytest.mark.parametrize("uid", ["a", "x" * 255, "💙" * 255, "*", "a/b.c>", "../..", "a b", "ünï", "\u200b"])
def test_good_uids(uid: str) -> None:
    assert TENANTS.check_token(forge({"sub": uid})).uid == uid


CONTROL = [chr(code) for code in (*range(0x20), *range(0x7F, 0xA0))]


@pytest.mark.parametrize("uid", ["", "x" * 256, 7, None, True, ["alice"], "alice\n", *CONTROL])
def test_bad_uids(uid: object) -> None:
    close, reason = refused(TENANTS, forge({"sub": uid}))
    assert close == Close.TOKEN_INVALID
    assert "`sub`" in reason


@pytest.mark.parametrize("sub", [rb'"\ud800"', rb'"\udc00\ud800"', b'"\xed\xa0\x80"', b'"\xff"', b"null"])
def test_uids_that_are_no_text(sub: bytes) -> None:
    token = forge_raw(b'{"alg":"HS256"}', b'{"exp":2000000000,"sub":' + sub + b"}")
    assert refused(TENANTS, token)[0] == Close.TOKEN_INVALID


def test_good_tags() -> None:
    tags = [f"{number:064}" for number in range(16)]
    assert TENANTS.check_token(forge({"tags": tags})).tags == tuple(tags)


@pytest.mark.parametrize("tags", ["vip", {}, 1, [1], [None], [""], ["a" * 65], ["a\n"], ["\x9f"], ["a"] * 17])
def test_bad_tags(tags: object) -> None:
    close, reason = refused(TENANTS, forge({"tags": tags}))
    assert close == Close.TOKEN_INVALID
    assert "`tags" in reason


@pytest.mark.parametrize("audience", ["another-service", ["another-service"], "", []])
def test_a_token_for_an_audience_is_not_for_us(audience: object) -> None:
    assert refused(TENANTS, forge({"aud": audience})) == (
        Close.TOKEN_INVALID,
        "for another audience (`aud`)",
    )


@pytest.mark.parametrize("tenant", [7, None, ["default"], {"default": 1}])
def test_tenant_is_text(tenant: object) -> None:
    token = forge_raw(b'{"alg":"HS256"}', json.dumps({"sub": "a", "exp": NOW * 2, "tenant": tenant}).encode())
    assert refused(TENANTS, token)[0] == Close.TOKEN_INVALID


def test_claims_that_we_do_not_know_are_ignored() -> None:
    deep: Any = {"a": [{"b": [1, 2.5, None, "x"]}]}
    assert TENANTS.check_token(forge({"iss": "https://issuer.example", "jti": "1", "custom": deep}))


def test_size_limit() -> None:
    token = forge({"padding": "x" * (tokens.MAX_TOKEN // 2)})
    assert TENANTS.check_token(token)
    close, reason = refused(TENANTS, forge({"padding": "x" * tokens.MAX_TOKEN}))
    assert (close, reason) == (Close.TOKEN_INVALID, "longer than 8192 bytes")
    assert refused(TENANTS, "." * 100_000_000)[1] == reason


@given(st.text(min_size=1, max_size=255, alphabet=st.characters(exclude_categories=["Cc", "Cs"])))
def test_any_text_without_control_characters_is_a_uid(uid: str) -> None:
    assert TENANTS.check_token(forge({"sub": uid})).uid == uid
