"""Each algorithm with its own kind of key, and the errors for every other kind."""

from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP384R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as generate_ec
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS, PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pushgate.codes import Close
from pushgate.config import TokenKeyConfig
from pushgate.errors import ConfigError, TokenRefused
from tests.tenants.forge import SECRET, Sign, forge, hmac_with, pem_of, refused, tenants_with


@pytest.fixture(scope="session")
def signers(
    rsa_key: RSAPrivateKey, ec_key: EllipticCurvePrivateKey, ed_key: Ed25519PrivateKey
) -> dict[str, tuple[str, Sign]]:
    """The public key (PEM) and what signs with its private key, by algorithm."""

    def sign_es256(signed: bytes) -> bytes:
        r, s = decode_dss_signature(ec_key.sign(signed, ECDSA(SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    return {
        "RS256": (pem_of(rsa_key), lambda signed: rsa_key.sign(signed, PKCS1v15(), SHA256())),
        "PS256": (pem_of(rsa_key), lambda signed: rsa_key.sign(signed, PSS(MGF1(SHA256()), 32), SHA256())),
        "ES256": (pem_of(ec_key), sign_es256),
        "EdDSA": (pem_of(ed_key), ed_key.sign),
    }


def key(algorithm: str, **fields: str) -> TokenKeyConfig:
    return TokenKeyConfig(algorithm=algorithm, **fields)  # type: ignore[arg-type]


ASYMMETRIC = ["RS256", "PS256", "ES256", "EdDSA"]


@pytest.mark.parametrize("bits", [256, 384, 512])
def test_hmac(bits: int) -> None:
    tenants = tenants_with(key(f"HS{bits}", secret=SECRET))
    assert tenants.check_token(forge(sign=hmac_with(SECRET, f"sha{bits}"), alg=f"HS{bits}")).uid == "alice"


@pytest.mark.parametrize("algorithm", ASYMMETRIC)
def test_public_key(algorithm: str, signers: dict[str, tuple[str, Sign]], tmp_path: Path) -> None:
    pem, sign = signers[algorithm]
    (tmp_path / "key.pem").write_text(pem)
    for config in (
        key(algorithm, public_key=pem),
        key(algorithm, public_key_file=str(tmp_path / "key.pem")),
    ):
        tenants = tenants_with(config)
        (tmp_path / "key.pem").unlink(missing_ok=True)  # read once, at the start
        assert tenants.check_token(forge(sign=sign, alg=algorithm)).uid == "alice"
        for other in ASYMMETRIC:
            if other != algorithm:
                assert refused(tenants, forge(sign=sign, alg=other))[0] == Close.TOKEN_INVALID
        (tmp_path / "key.pem").write_text(pem)


def test_rsa_key_set_for_one_padding_does_not_take_the_other(signers: dict[str, tuple[str, Sign]]) -> None:
    pem, sign = signers["PS256"]
    assert refused(tenants_with(key("RS256", public_key=pem)), forge(sign=sign, alg="RS256")) == (
        Close.TOKEN_INVALID,
        "wrong signature",
    )


@pytest.mark.parametrize("algorithm", ASYMMETRIC)
@given(signature=st.binary(max_size=300) | st.binary(min_size=64, max_size=64) | st.just(bytes(64)))
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_signature(algorithm: str, signature: bytes, signers: dict[str, tuple[str, Sign]]) -> None:
    tenants = tenants_with(key(algorithm, public_key=signers[algorithm][0]))
    with pytest.raises(TokenRefused, match="wrong signature"):
        tenants.check_token(forge(sign=lambda _: signature, alg=algorithm))


def config_error(*keys: TokenKeyConfig) -> str:
    with pytest.raises(ConfigError) as caught:
        tenants_with(*keys)
    text = str(caught.value)
    assert SECRET not in text
    return text.removeprefix("tenants.default.token_keys")


@pytest.mark.parametrize(("algorithm", "size"), [("HS256", 32), ("HS384", 48), ("HS512", 64)])
def test_secret_is_as_long_as_the_hash(algorithm: str, size: int) -> None:
    assert tenants_with(key(algorithm, secret="x" * size))
    assert config_error(key(algorithm, secret="x" * (size - 1))) == (
        f"[0].secret: expected at least {size} bytes for {algorithm} (RFC 7518 section 3.2), got {size - 1}"
    )
    assert tenants_with(key(algorithm, secret="ö" * (size // 2)))  # bytes, not characters


def test_secret_is_no_public_key(rsa_key: RSAPrivateKey) -> None:
    for text in (pem_of(rsa_key), "ssh-ed25519 " + "A" * 60, '{"kty":"oct","k":"' + "A" * 43 + '"}'):
        assert config_error(key("HS256", secret=text)).startswith("[0].secret: expected a secret for HS256")


def test_exactly_one_of_the_fields() -> None:
    assert config_error(key("HS256")) == (
        "[0].secret: expected secret, and nothing beside it, for HS256, got none of them"
    )
    assert config_error(key("HS256", secret=SECRET, public_key="x")).endswith("got secret and public_key")
    assert config_error(key("HS256", public_key="x")).endswith("for HS256, got public_key")
    assert config_error(key("RS256", secret=SECRET)) == (
        "[0].public_key: expected public_key or public_key_file, and nothing beside it, for RS256, got secret"
    )
    assert config_error(key("RS256", public_key="x", public_key_file="y")).endswith(
        "got public_key and public_key_file"
    )
    assert config_error(key("EdDSA")).endswith("got none of them")
    # The place is the right one, also further down.
    assert config_error(key("HS256", secret=SECRET), key("HS256")).startswith("[1].secret: ")


@pytest.mark.parametrize("algorithm", ASYMMETRIC)
def test_key_of_the_wrong_kind(algorithm: str, signers: dict[str, tuple[str, Sign]]) -> None:
    wrong: list[Any] = [generate_rsa(65537, 1024), generate_ec(SECP384R1()), Ed448PrivateKey.generate()]
    pems = [pem for other, (pem, _) in signers.items() if other[0] != algorithm[0] or other[1] != "S"]
    pems = [pem for pem in pems if pem != signers[algorithm][0]]
    for pem in [pem_of(private) for private in wrong] + pems:
        text = config_error(key(algorithm, public_key=pem))
        assert text.startswith("[0].public_key: expected an ")
        assert f"for {algorithm}, got a key of type " in text


def test_short_rsa_key_is_told_its_length() -> None:
    text = config_error(key("RS256", public_key=pem_of(generate_rsa(65537, 1024))))
    assert "of at least 2048 bits" in text
    assert text.endswith("of 1024 bits")


@pytest.mark.parametrize("algorithm", ASYMMETRIC)
def test_text_that_is_no_public_key(algorithm: str, rsa_key: RSAPrivateKey) -> None:
    private = rsa_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    ssh = rsa_key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    for pem, came in (
        (private, "a private key"),
        ("x", "something else"),
        (ssh, "something else"),
        ("\ud800".encode("utf-8", "replace").decode(), "something else"),
    ):
        text = config_error(key(algorithm, public_key=pem))
        assert text.startswith("[0].public_key: expected an ")
        assert text.endswith(f"in PEM for {algorithm}, got {came}")


def test_public_key_file_that_cannot_be_read(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing.pem")
    assert config_error(key("RS256", public_key_file=missing)) == (
        f"[0].public_key_file: expected a readable PEM file, got {missing!r}: No such file or directory"
    )
    assert config_error(key("RS256", public_key_file=str(tmp_path))).endswith("Is a directory")
    assert config_error(key("RS256", public_key_file="a\0b")).endswith("not a path")
