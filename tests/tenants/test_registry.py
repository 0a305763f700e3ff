"""The tenants together: rotation, isolation, API keys, and tokens that we sign ourselves."""

import re
from time import time
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushgate.config import TenantConfig, TokenKeyConfig
from pushgate.errors import ConfigError, Problem, TokenRefused
from pushgate.tenants.registry import Tenants, hash_api_key, new_api_key
from pushgate.tenants.tokens import MAX_TIME, MAX_TOKEN
from tests.tenants.forge import OTHER_SECRET, SECRET, forge, hmac_with, hs256, pem_of, refused, tenants_with


def test_rotation_without_kid() -> None:
    tenants = tenants_with(hs256(), hs256(OTHER_SECRET))
    assert tenants.check_token(forge())
    assert tenants.check_token(forge(sign=hmac_with(OTHER_SECRET)))
    assert refused(tenants, forge(sign=hmac_with("x" * 32)))


def test_rotation_with_kid() -> None:
    tenants = tenants_with(hs256(kid="2025"), hs256(OTHER_SECRET, kid="2026"), hs256("x" * 32))
    assert tenants.check_token(forge(kid="2025"))
    assert tenants.check_token(forge(sign=hmac_with(OTHER_SECRET), kid="2026"))
    assert tenants.check_token(forge(sign=hmac_with("x" * 32)))
    for token in (
        forge(sign=hmac_with(OTHER_SECRET), kid="2025"),
        forge(sign=hmac_with(SECRET), kid="2026"),
        forge(sign=hmac_with(SECRET)),
        forge(sign=hmac_with("x" * 32), kid="2025"),
    ):
        assert refused(tenants, token)[1] == "wrong signature"


def test_one_kid_under_two_algorithms() -> None:
    tenants = tenants_with(hs256(kid="a"), TokenKeyConfig(algorithm="HS384", kid="a", secret=OTHER_SECRET))
    assert tenants.check_token(forge(kid="a"))
    assert tenants.check_token(forge(kid="a", alg="HS384", sign=hmac_with(OTHER_SECRET, "sha384")))
    assert refused(tenants, forge(kid="a", alg="HS384", sign=hmac_with(SECRET, "sha384")))


def test_keys_that_stand_twice() -> None:
    with pytest.raises(ConfigError, match=r"^tenants\.default\.token_keys\[1\]\.kid: expected .*, got 'a' again"):
        tenants_with(hs256(kid="a"), hs256(OTHER_SECRET, kid="a"))
    with pytest.raises(ConfigError, match=r"^tenants\.default\.token_keys\[1\]: expected another HS256 key"):
        tenants_with(hs256(), hs256())


def test_the_same_uid_in_two_tenants_is_two_users() -> None:
    tenants = Tenants({"a": TenantConfig(token_keys=[hs256()]), "b": TenantConfig(token_keys=[hs256(OTHER_SECRET)])})
    first = tenants.check_token(forge({"tenant": "a"}))
    second = tenants.check_token(forge({"tenant": "b"}, sign=hmac_with(OTHER_SECRET)))
    assert (first.tenant, second.tenant) == ("a", "b")
    assert first.uid == second.uid
    assert first[:2] != second[:2]


def test_require_exp_is_the_claimed_tenants_own() -> None:
    tenants = Tenants(
        {
            "a": TenantConfig(token_keys=[hs256()], require_exp=False),
            "b": TenantConfig(token_keys=[hs256(OTHER_SECRET)]),
        }
    )
    assert tenants.check_token(forge({"tenant": "a", "exp": None})).expires == 0
    assert refused(tenants, forge({"tenant": "b", "exp": None}, sign=hmac_with(OTHER_SECRET)))


def test_no_tenants_and_no_keys() -> None:
    for tenants in (Tenants({}), Tenants({"default": TenantConfig()})):
        assert refused(tenants, forge())[1] == "no key fits its tenant, `kid` and `alg`"
        assert tenants.tenant_of_key(b"") is None


def test_new_api_key() -> None:
    keys = {new_api_key() for _ in range(100)}
    assert len(keys) == 100
    assert all(re.fullmatch(r"pg_[A-Za-z0-9_-]{43}", key) for key in keys)


def test_hash_api_key() -> None:
    assert hash_api_key("abc") == "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_tenant_of_key() -> None:
    first, second, third = new_api_key(), new_api_key(), new_api_key()
    tenants = Tenants(
        {
            "a": TenantConfig(api_keys=[hash_api_key(first), hash_api_key(second)]),
            "b": TenantConfig(api_keys=[hash_api_key(third)]),
        }
    )
    assert [tenants.tenant_of_key(key.encode()) for key in (first, second, third)] == ["a", "a", "b"]
    for other in (b"", b"pg_", first[:-1].encode(), first.encode() + b"\n", hash_api_key(first).encode()):
        assert tenants.tenant_of_key(other) is None


@given(st.binary())
def test_no_other_bytes_are_an_api_key(data: bytes) -> None:
    tenants = Tenants({"a": TenantConfig(api_keys=[hash_api_key(new_api_key())])})
    assert tenants.tenant_of_key(data) is None


def test_api_keys_that_stand_twice() -> None:
    key = hash_api_key("k")
    with pytest.raises(ConfigError) as caught:
        Tenants({"a": TenantConfig(api_keys=[key]), "b": TenantConfig(api_keys=[hash_api_key("l"), key])})
    assert str(caught.value) == (
        "tenants.b.api_keys[1]: expected a key that stands nowhere else, got one that tenants.a.api_keys has already"
    )
    with pytest.raises(ConfigError, match=r"^tenants\.a\.api_keys\[1\]: "):
        Tenants({"a": TenantConfig(api_keys=[key, key])})


def test_a_read_key_is_a_tenants_own_and_none_of_its_api_keys() -> None:
    key, other = hash_api_key("read"), hash_api_key("full")
    tenants = Tenants({"a": TenantConfig(api_keys=[other], read_keys=[key]), "b": TenantConfig()})
    assert (tenants.tenant_of_read_key(b"read"), tenants.tenant_of_key(b"read")) == ("a", None)
    assert (tenants.tenant_of_read_key(b"full"), tenants.tenant_of_key(b"full")) == (None, "a")
    assert tenants.digests_of("a") == [bytes.fromhex(other.removeprefix("sha256:"))]
    tenants.load({"a": TenantConfig(api_keys=[other])})
    assert tenants.tenant_of_read_key(b"read") is None
    with pytest.raises(ConfigError) as caught:
        Tenants({"a": TenantConfig(api_keys=[key]), "b": TenantConfig(read_keys=[key])})
    assert str(caught.value) == (
        "tenants.b.read_keys[0]: expected a key that stands nowhere else, got one that tenants.a.api_keys has already"
    )


def test_sign_token() -> None:
    tenants = tenants_with()
    before = int(time())
    token, expires = tenants.sign_token("default", "alice", 600, ["a", "b"])
    assert before + 600 <= expires <= time() + 600
    assert tenants.check_token(token) == ("default", "alice", expires, ("a", "b"))
    # Others read it the same way.
    assert jwt.decode(token, SECRET, algorithms=["HS256"]) == {
        "sub": "alice",
        "exp": expires,
        "tags": ["a", "b"],
    }


def test_sign_token_with_the_first_symmetric_key_of_the_tenant(rsa_key: Any) -> None:
    tenants = Tenants(
        {
            "a": TenantConfig(
                token_keys=[
                    TokenKeyConfig(algorithm="RS256", public_key=pem_of(rsa_key)),
                    TokenKeyConfig(algorithm="HS512", kid="k", secret=SECRET),
                    hs256(OTHER_SECRET),
                ]
            ),
            "b": TenantConfig(token_keys=[hs256()]),
            "c": TenantConfig(token_keys=[TokenKeyConfig(algorithm="RS256", public_key=pem_of(rsa_key))]),
        }
    )
    token, _ = tenants.sign_token("a", "alice", 60)
    assert jwt.get_unverified_header(token) == {"alg": "HS512", "kid": "k", "typ": "JWT"}
    assert tenants.check_token(token).tenant == "a"
    assert tenants.check_token(tenants.sign_token("b", "alice", 60)[0]).tenant == "b"
    for name in ("c", "unknown"):
        with pytest.raises(Problem, match=f"'{name}' has no HS256") as caught:
            tenants.sign_token(name, "alice", 60)
        assert (caught.value.code, caught.value.status) == ("forbidden", 403)


@pytest.mark.parametrize(
    ("uid", "ttl", "tags", "field"),
    [
        ("", 60, [], "user"),
        ("x" * 256, 60, [], "user"),
        ("a\n", 60, [], "user"),
        ("\ud800", 60, [], "user"),
        ("a", 0, [], "ttl"),
        ("a", -1, [], "ttl"),
        ("a", MAX_TIME, [], "ttl"),
        ("a", 60, [""], "tags[0]"),
        ("a", 60, ["a", "\x7f"], "tags[1]"),
        ("a", 60, ["a"] * 17, "tags"),
    ],
)
def test_sign_token_refuses_what_would_be_refused(uid: str, ttl: int, tags: list[str], field: str) -> None:
    with pytest.raises(Problem) as caught:
        tenants_with().sign_token("default", uid, ttl, tags)
    assert caught.value.code == "bad_request"
    assert [name for name, _ in caught.value.errors] == [field]


def test_the_longest_token_we_sign_is_within_the_limit() -> None:
    tenants = tenants_with()
    for character in '💙"\\':
        token, _ = tenants.sign_token("default", character * 255, 10**9, [character * 64] * 16)
        assert len(token) < MAX_TOKEN
        assert tenants.check_token(token).uid == character * 255


@given(st.text(), st.integers(), st.lists(st.text()))
def test_whatever_we_sign_holds(uid: str, ttl: int, tags: list[str]) -> None:
    tenants = tenants_with()
    try:
        token, expires = tenants.sign_token("default", uid, ttl, tags)
    except Problem:
        return
    assert tenants.check_token(token) == ("default", uid, expires, tuple(tags))


def test_nothing_shows_a_secret() -> None:
    tenants = tenants_with()
    assert SECRET not in repr(tenants) + repr(vars(tenants))
    with pytest.raises(TokenRefused):
        tenants.check_token("x")


def test_another_load_takes_the_place_of_the_one_before() -> None:
    tenants = Tenants({"a": TenantConfig(token_keys=[hs256()], api_keys=[hash_api_key("one")]), "b": TenantConfig()})
    numbers = tenants.numbers
    tenants.load(
        {"c": TenantConfig(api_keys=[hash_api_key("two")]), "a": TenantConfig(token_keys=[hs256(OTHER_SECRET)])}
    )
    assert tenants.generation == 2
    assert tenants.check_token(forge({"tenant": "a"}, sign=hmac_with(OTHER_SECRET)))
    assert refused(tenants, forge({"tenant": "a"}))[1] == "wrong signature"
    assert (tenants.tenant_of_key(b"one"), tenants.tenant_of_key(b"two")) == (None, "c")
    assert tenants.quota_of("b") is None
    assert numbers == {"a": 0, "b": 1, "c": 2}, "a number is never given to another"


def test_a_load_that_fails_changes_nothing() -> None:
    tenants = Tenants({"a": TenantConfig(token_keys=[hs256()], pushes_per_second=7)})
    with pytest.raises(ConfigError, match=r"^tenants\.b\.token_keys\[0\]\.secret: "):
        tenants.load({"a": TenantConfig(), "b": TenantConfig(token_keys=[TokenKeyConfig("HS256", secret="short")])})
    assert tenants.check_token(forge({"tenant": "a"}))
    quota = tenants.quota_of("a")
    assert quota is not None
    assert quota.pushes_per_second == 7
    assert (tenants.numbers, tenants.generation) == ({"a": 0}, 1)


def test_there_are_only_so_many_numbers() -> None:
    tenants = Tenants({f"t{number}": TenantConfig() for number in range(1000)})
    tenants.load({f"u{number}": TenantConfig() for number in range(24)})
    assert sorted(tenants.numbers.values()) == list(range(1024))
    with pytest.raises(ConfigError, match=r"^tenants: expected at most 1024 names, .*, got 1025"):
        tenants.load({"one-more": TenantConfig()})
    tenants.load({"t5": TenantConfig(), "u23": TenantConfig()})
    assert tenants.numbers["u23"] == 1023
