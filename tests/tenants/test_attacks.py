"""Tokens by which an attacker without a key, or with a key of somebody else, tries to become a user."""

import builtins
import json
import socket
from base64 import b64encode
from pathlib import Path
from time import time
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from pushgate.codes import Close
from pushgate.config import TenantConfig, TokenKeyConfig
from pushgate.errors import TokenRefused
from pushgate.tenants.registry import Tenants
from tests.tenants.forge import (
    OTHER_SECRET,
    SECRET,
    base64url,
    forge,
    forge_raw,
    hmac_with,
    hs256,
    pem_of,
    refused,
    tenants_with,
)

TENANTS = tenants_with()
TWO = Tenants({"acme": TenantConfig(token_keys=[hs256()]), "evil": TenantConfig(token_keys=[hs256(OTHER_SECRET)])})
NO_KEY = (Close.TOKEN_INVALID, "no key fits its tenant, `kid` and `alg`")
WRONG = (Close.TOKEN_INVALID, "wrong signature")
MALFORMED = (Close.TOKEN_INVALID, "not a JWT in compact form")


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "nOnE", "", "HS256 ", "hs256", "ES256K", "RS512", "dir"])
def test_algorithms_that_no_key_is_for(alg: str) -> None:
    assert refused(TENANTS, forge(alg=alg)) == NO_KEY
    assert refused(TENANTS, forge(alg=alg, sign=lambda _: b"")) == NO_KEY


@pytest.mark.parametrize("alg", [None, 7, ["HS256"], {"HS256": 1}, True])
def test_alg_is_text(alg: object) -> None:
    assert refused(TENANTS, forge(alg=alg))[0] == Close.TOKEN_INVALID


def test_missing_alg() -> None:
    claims = json.dumps({"sub": "alice", "exp": int(time()) + 60}).encode()
    assert refused(TENANTS, forge_raw(b'{"typ":"JWT"}', claims)) == (Close.TOKEN_INVALID, "`alg`: Missing")


def test_signature_left_out() -> None:
    head, payload, _ = forge().split(".")
    assert refused(TENANTS, f"{head}.{payload}.") == WRONG
    assert refused(TENANTS, f"{head}.{payload}") == MALFORMED


@pytest.mark.parametrize("digest", ["sha384", "sha512", "md5"])
def test_another_hash_with_the_right_secret(digest: str) -> None:
    assert refused(TENANTS, forge(sign=hmac_with(SECRET, digest))) == WRONG
    assert refused(TENANTS, forge(sign=hmac_with(SECRET, digest), alg="HS512")) == NO_KEY


def test_public_key_as_hmac_secret(rsa_key: RSAPrivateKey, ec_key: EllipticCurvePrivateKey) -> None:
    for algorithm, key in (("RS256", rsa_key), ("PS256", rsa_key), ("ES256", ec_key)):
        pem = pem_of(key)
        config = TokenKeyConfig(algorithm=algorithm, public_key=pem)  # type: ignore[arg-type]
        der = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        for secret in (pem.encode(), pem.strip().encode(), der):
            assert refused(tenants_with(config), forge(sign=hmac_with(secret))) == NO_KEY
            # The same where the tenant has an HS256 key, too: the public key is none.
            assert refused(tenants_with(config, hs256()), forge(sign=hmac_with(secret))) == WRONG


def test_kid_does_not_carry_a_key_to_another_algorithm(rsa_key: RSAPrivateKey) -> None:
    tenants = tenants_with(TokenKeyConfig(algorithm="RS256", kid="a", public_key=pem_of(rsa_key)), hs256(kid="b"))
    assert tenants.check_token(forge(kid="b"))
    assert refused(tenants, forge(kid="a")) == NO_KEY
    assert refused(tenants, forge(kid="b", alg="RS256")) == NO_KEY
    assert refused(tenants, forge()) == NO_KEY  # no key of this tenant is without kid


KIDS = ["unknown", "../../../../dev/null", "/dev/null", "/etc/passwd", "'; DROP TABLE keys; --", "\x00", "a" * 4000]


@pytest.mark.parametrize("kid", KIDS)
@pytest.mark.parametrize("secret", [SECRET, "", "\x00"])
def test_unknown_kid(kid: str, secret: str) -> None:
    assert refused(TENANTS, forge(kid=kid, sign=hmac_with(secret))) == NO_KEY


@pytest.mark.parametrize("kid", ["", None, 0, False, [], ["b"], {"b": 1}])
def test_kid_that_is_no_known_text(kid: object) -> None:
    # An empty one is not the same as none.
    assert refused(TENANTS, forge(kid=kid))[0] == Close.TOKEN_INVALID


HEADERS: dict[str, Any] = {
    "jku": "http://127.0.0.1:1/keys.json",
    "x5u": "file:///etc/passwd",
    "jwk": {"kty": "oct", "k": base64url(OTHER_SECRET.encode())},
    "x5c": [b64encode(b"certificate").decode()],
    "x5t": "AAAA",
}


@pytest.mark.parametrize("name", HEADERS)
def test_headers_that_bring_keys(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(*_: object, **__: object) -> None:
        raise AssertionError("something was fetched")

    monkeypatch.setattr(socket, "socket", fetch)
    monkeypatch.setattr(socket, "getaddrinfo", fetch)
    monkeypatch.setattr(builtins, "open", fetch)
    monkeypatch.setattr(Path, "open", fetch)
    header = {name: HEADERS[name]}
    assert refused(TENANTS, forge(sign=hmac_with(OTHER_SECRET), **header)) == WRONG
    # Beside a good signature they say nothing: some issuers always send them.
    assert TENANTS.check_token(forge(**header)).uid == "alice"


@pytest.mark.parametrize("crit", [["exp"], ["b64"], [], None, "b64", {}])
def test_critical_extensions(crit: object) -> None:
    close, reason = refused(TENANTS, forge(crit=crit, b64=True))
    assert (close, reason) == (Close.TOKEN_INVALID, "`crit` names extensions, and none is supported")


def test_detached_payload() -> None:
    head = base64url(b'{"alg":"HS256","b64":false,"crit":["b64"]}')
    signature = base64url(hmac_with(SECRET)(f"{head}.".encode()))
    assert refused(TENANTS, f"{head}..{signature}") == MALFORMED


def test_key_of_another_tenant() -> None:
    assert TWO.check_token(forge({"tenant": "acme"})).tenant == "acme"
    assert refused(TWO, forge({"tenant": "acme"}, sign=hmac_with(OTHER_SECRET))) == WRONG
    assert refused(TWO, forge({"tenant": "evil"})) == WRONG


@pytest.mark.parametrize("tenant", [None, "", "ACME", "acme ", "acme\n", "acme/../evil", "default", "x" * 4000])
def test_unknown_tenant(tenant: str | None) -> None:
    assert refused(TWO, forge({"tenant": tenant})) == NO_KEY


def test_names_that_stand_twice_are_read_once() -> None:
    # The key is picked by the very value that is believed afterwards: the last one.
    end = int(time()) + 60
    payload = f'{{"sub":"a","exp":{end},"tenant":"evil","tenant":"acme"}}'.encode()
    assert refused(TWO, forge_raw(b'{"alg":"HS256"}', payload, hmac_with(OTHER_SECRET))) == WRONG
    assert TWO.check_token(forge_raw(b'{"alg":"none","alg":"HS256"}', payload)).tenant == "acme"


def test_time_is_judged_after_the_signature() -> None:
    assert refused(TENANTS, forge({"exp": 1}, sign=hmac_with(OTHER_SECRET))) == WRONG


@pytest.mark.parametrize(
    "token",
    [
        *("", ".", "..", "...", "a", "a.b", "a.b.c", "a.b.c.d", "a.b.c.d.e", "null.null.null"),
        *(" ", "\n", "é.é.é", "\ud800", "\x00" * 9),
        f"{base64url(b'[]')}.{base64url(b'{}')}.",
        f"{base64url(b'{}')}.{base64url(b'1')}.",
    ],
)
def test_malformed(token: str) -> None:
    assert refused(TENANTS, token)[0] == Close.TOKEN_INVALID


def test_payload_that_is_no_object() -> None:
    token = forge_raw(b'{"alg":"HS256"}', b"[]")
    assert refused(TENANTS, token) == (Close.TOKEN_INVALID, "`token`: Expected `object`, got `array`")


def test_deep_nesting() -> None:
    deep = b'{"sub":"alice","x":' + b"[" * 5000 + b"}"
    assert refused(TENANTS, forge_raw(b'{"alg":"HS256"}', deep)) == MALFORMED
    assert refused(TENANTS, forge_raw(deep, b"{}")) == MALFORMED


def test_one_spelling_alone() -> None:
    """Padding, blanks, the standard alphabet and spare bits are refused, though they mean the same bytes."""
    good = forge({"sub": "alice?>~"})
    assert TENANTS.check_token(good)
    head, payload, signature = good.split(".")
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    spare = signature[:-1] + alphabet[alphabet.index(signature[-1]) ^ 1]
    for other in (spare, signature + "=", signature + "\n", signature[:5] + " " + signature[5:], signature + "!"):
        assert refused(TENANTS, f"{head}.{payload}.{other}") == MALFORMED
    for other in (" " + good, good + " ", good + ".", good + "=" * 4, f"Bearer {good}"):
        assert refused(TENANTS, other) == MALFORMED
    standard = [part.replace("-", "+").replace("_", "/") for part in good.split(".")]
    assert standard != [head, payload, signature]
    assert refused(TENANTS, ".".join(standard)) == MALFORMED


def test_errors_tell_nothing() -> None:
    for token in (
        forge({"sub": "mallory" * 99}),
        forge({"sub": "mallory\n"}),
        forge({"sub": "mallory", "tags": ["mallory\n"]}),
        forge({"sub": "mallory", "tenant": "mallory"}, kid="mallory"),
        forge({"sub": "mallory", "exp": "mallory"}, alg="mallory"),
        forge({"sub": "mallory", "exp": 1}),
        forge({"sub": "mallory", "aud": "mallory"}),
        forge({"sub": "mallory"}, sign=hmac_with("mallory")),
    ):
        _, reason = refused(TENANTS, token)
        assert "mallory" not in reason
        assert SECRET not in reason
        assert not any(part in reason for part in token.split(".") if part)


def only_refused(token: str) -> None:
    try:
        TENANTS.check_token(token)
    except TokenRefused:
        return
    raise AssertionError("a token was taken that nobody signed")


@given(st.text())
def test_any_text(text: str) -> None:
    only_refused(text)


@given(st.binary(max_size=80), st.binary(max_size=80), st.binary(max_size=80))
def test_any_parts(header: bytes, payload: bytes, signature: bytes) -> None:
    only_refused(".".join(map(base64url, (header, payload, signature))))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(
    st.fixed_dictionaries({}, optional=dict.fromkeys(("alg", "kid", "crit", "typ"), json_values)),
    st.fixed_dictionaries({}, optional=dict.fromkeys(("sub", "exp", "nbf", "tenant", "tags", "aud"), json_values)),
)
def test_any_claims_well_signed(header: dict[str, Any], claims: dict[str, Any]) -> None:
    """With a good signature most of these are still refused, and nothing but TokenRefused is raised."""
    try:
        claimed = TENANTS.check_token(forge(claims, **header))
    except TokenRefused:
        return
    assert claimed.tenant == "default"
    assert 1 <= len(claimed.uid) <= 255


GOOD = forge({"exp": 4_000_000_000, "tags": ["a", "b"]})


@given(st.integers(0, len(GOOD) - 1), st.characters(), st.integers(0, 3))
def test_mutated_token(place: int, character: str, removed: int) -> None:
    mutated = GOOD[:place] + character + GOOD[place + removed :]
    if mutated != GOOD:
        only_refused(mutated)


@given(st.integers(0, len(GOOD) - 1), st.integers(0, len(GOOD)))
def test_cut_token(start: int, end: int) -> None:
    if GOOD[start:end] != GOOD:
        only_refused(GOOD[start:end])
