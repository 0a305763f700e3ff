"""Tokens by which a stranger, or one with a key of something else, tries to become a user."""

import json
from time import time
from typing import Any
from urllib.parse import quote

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.hostile.case import Case, Lives, Outcome, closes
from tests.hostile.frames import in_lobby
from tests.hostile.http import upgrade
from tests.hostile.keys import (
    EC_KEY,
    ED_KEY,
    RSA_KEY,
    SECRET,
    STRANGER,
    sign,
    sign_es256,
    sign_es256_der,
    sign_evil,
    sign_ps256,
    sign_rs256,
    sign_stranger,
)
from tests.rig.client import TEXT, mask_frame
from tests.tenants.forge import Sign, base64url, forge, forge_raw, hmac_with, pem_of

TRAP = ("127.66.66.66", 8766)
"""Where nobody may ever knock: the addresses of keys in the tokens below."""
TRAP_URL = f"http://{TRAP[0]}:{TRAP[1]}/keys.json"
SOON = int(time()) + 3600


def made(claims: dict[str, Any] | None = None, signed: Sign = sign, **header: Any) -> str:
    """A token of the user `mallory`, good but for what is given."""
    return forge({"sub": "mallory", "exp": SOON, **(claims or {})}, signed, **header)


def written(payload: str, header: str = '{"alg":"HS256"}') -> str:
    """A well-signed token of any text."""
    return forge_raw(header.encode(), payload.encode(), sign)


def tokens(outcome: Outcome, **each: str) -> list[Case]:
    """Return a case for each token: in the query, or in a `connect` message where it is too long for that."""
    found = []
    for name, token in each.items():
        if len(quote(token)) < 3_900:
            request = upgrade(start=f"GET /ws?token={quote(token)} HTTP/1.1")
            found.append(Case(f"token: {name.replace('_', ' ')}", (request,), outcome))
        else:
            message = json.dumps({"type": "connect", "token": token}).encode()
            found += in_lobby(outcome, **{name: mask_frame(TEXT, message)})
    return found


def der_of(key: Any) -> bytes:
    der: bytes = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return der


def jwk_of(key: Any) -> dict[str, str]:
    numbers = key.public_key().public_numbers()
    return {"kty": "RSA", "alg": "RS256", "n": base64url(numbers.n.to_bytes(256, "big")), "e": "AQAB"}


HEAD, PAYLOAD, SIGNATURE = made().split(".")
ALGORITHMS = tokens(
    closes(4500),
    **{f"alg_{alg}": made(alg=alg, signed=lambda _: b"") for alg in ("none", "None", "NONE", "nOnE", "", "HS256 ")},
    alg_none_with_signature=made(alg="none"),
    alg_null=made(alg=None),
    alg_list=made(alg=["HS256"]),
    alg_missing=forge_raw(b'{"typ":"JWT"}', b'{"sub":"mallory","exp":%d}' % SOON, sign),
    alg_twice=written(f'{{"sub":"mallory","exp":{SOON}}}', '{"alg":"HS256","alg":"none"}'),
    no_signature=f"{HEAD}.{PAYLOAD}.",
    two_parts=f"{HEAD}.{PAYLOAD}",
    four_parts=f"{HEAD}.{PAYLOAD}.{SIGNATURE}.{SIGNATURE}",
    encrypted_of_five_parts=f"{HEAD}.{SIGNATURE}.{SIGNATURE}.{PAYLOAD}.{SIGNATURE}",
    hs512_with_the_secret_of_hs256=made(signed=hmac_with(SECRET, "sha512"), alg="HS512"),
    hs256_with_another_hash=made(signed=hmac_with(SECRET, "sha512")),
    rsa_pem_as_secret=made(signed=hmac_with(pem_of(RSA_KEY))),
    rsa_pem_as_secret_with_its_kid=made(signed=hmac_with(pem_of(RSA_KEY)), kid="rs"),
    rsa_der_as_secret=made(signed=hmac_with(der_of(RSA_KEY))),
    ec_pem_as_secret=made(signed=hmac_with(pem_of(EC_KEY)), kid="es"),
    ed_pem_as_secret=made(signed=hmac_with(pem_of(ED_KEY)), kid="ed"),
    no_secret=made(signed=hmac_with("")),
    rs256_signed_as_hs256=made(signed=sign_rs256),
    hs256_signed_as_rs256=made(alg="RS256"),
    rs256_of_a_stranger=made(alg="RS256", signed=sign_stranger),
    rs256_with_the_kid_of_ps256=made(alg="RS256", kid="ps", signed=sign_rs256),
    ps256_signed_as_rs256=made(alg="RS256", signed=sign_ps256),
    rs256_signed_as_ps256=made(alg="PS256", kid="ps", signed=sign_rs256),
    rs512=made(alg="RS512", kid="rs", signed=sign_rs256),
    rs256_all_zero=made(alg="RS256", signed=lambda _: bytes(256)),
    rs256_all_ones=made(alg="RS256", signed=lambda _: b"\xff" * 256),
    rs256_empty=made(alg="RS256", signed=lambda _: b""),
    es256_of_zeros=made(alg="ES256", kid="es", signed=lambda _: bytes(64)),
    es256_of_ones=made(alg="ES256", kid="es", signed=lambda _: b"\xff" * 64),
    es256_in_der=made(alg="ES256", kid="es", signed=sign_es256_der),
    es256_of_63_bytes=made(alg="ES256", kid="es", signed=lambda data: sign_es256(data)[:63]),
    es256_empty=made(alg="ES256", kid="es", signed=lambda _: b""),
    es256k=made(alg="ES256K", kid="es", signed=sign_es256),
    eddsa_of_zeros=made(alg="EdDSA", kid="ed", signed=lambda _: bytes(64)),
    eddsa_small_order=made(alg="EdDSA", kid="ed", signed=lambda _: b"\x01" + bytes(63)),
    eddsa_empty=made(alg="EdDSA", kid="ed", signed=lambda _: b""),
)
KEYS_BROUGHT_ALONG = tokens(
    closes(4500),
    jku=made(jku=TRAP_URL, alg="RS256", signed=sign_stranger),
    jku_with_the_secret_of_another=made(jku=TRAP_URL, signed=sign_evil),
    x5u=made(x5u=TRAP_URL, alg="RS256", signed=sign_stranger),
    x5u_file=made(x5u="file:///etc/passwd", signed=sign_evil),
    x5c=made(x5c=[base64url(der_of(STRANGER))], alg="RS256", signed=sign_stranger),
    jwk=made(jwk=jwk_of(STRANGER), alg="RS256", signed=sign_stranger),
    jwk_of_a_secret=made(jwk={"kty": "oct", "k": base64url(b"x" * 32)}, signed=hmac_with("x" * 32)),
    kid_is_a_url=made(kid=TRAP_URL, signed=sign_evil),
    kid_of_parents=made(kid="../../../../dev/null", signed=hmac_with("")),
    kid_of_a_file=made(kid="/proc/sys/kernel/randomize_va_space", signed=hmac_with("2\n")),
    kid_with_nul=made(kid="rs\x00", alg="RS256", signed=sign_rs256),
    kid_injects_sql=made(kid="' UNION SELECT 'x' --", signed=hmac_with("x")),
    kid_injects_a_command=made(kid="|| sleep 9 ||", signed=hmac_with("")),
    kid_empty=made(kid=""),
    kid_number=made(kid=0),
    kid_list=made(kid=["es"]),
    kid_of_3000=made(kid="k" * 3_000),
    kid_of_another_algorithm=made(kid="es"),
    critical=made(crit=["exp"]),
    not_base64=made(crit=["b64"], b64=False),
)
CLAIMS = tokens(
    closes(4500),
    sub_missing=made({"sub": None}),
    sub_empty=made({"sub": ""}),
    sub_of_256=made({"sub": "a" * 256}),
    sub_number=made({"sub": 1}),
    sub_list=made({"sub": ["mallory"]}),
    sub_with_line_end=made({"sub": "mallory\n"}),
    sub_with_nul=made({"sub": "mallory\x00alice"}),
    sub_with_del=made({"sub": "\x7f"}),
    sub_lone_surrogate=written(f'{{"sub":"\\ud800","exp":{SOON}}}'),
    tenant_unknown=made({"tenant": "nobody"}),
    tenant_of_another=made({"tenant": "evil"}),
    tenant_of_parents=made({"tenant": "../default"}),
    tenant_twice=written(f'{{"sub":"m","exp":{SOON},"tenant":"default","tenant":"evil"}}'),
    secret_of_another_tenant=made(signed=sign_evil),
    exp_missing=forge({"sub": "mallory", "exp": None}, sign),
    exp_text=made({"exp": str(SOON)}),
    exp_fraction=made({"exp": SOON + 0.5}),
    exp_true=made({"exp": True}),
    exp_minus=made({"exp": -1}),
    exp_in_milliseconds=made({"exp": SOON * 1000}),
    exp_2_64=made({"exp": 2**64}),
    exp_1e400=written('{"sub":"mallory","exp":1e400}'),
    exp_nan=written('{"sub":"mallory","exp":NaN}'),
    exp_of_2000_digits=written(f'{{"sub":"mallory","exp":{"9" * 2000}}}'),
    nbf_tomorrow=made({"nbf": SOON + 86400}),
    audience=made({"aud": "somebody"}),
    audience_null=written(f'{{"sub":"mallory","exp":{SOON},"aud":null}}'),
    tags_17=made({"tags": ["t"] * 17}),
    tags_text=made({"tags": "admin"}),
    tag_with_control=made({"tags": ["a\x1b[2J"]}),
    payload_list=written("[]"),
    payload_null=written("null"),
    payload_deep=written('{"sub":"mallory","x":' + "[" * 2_000 + "}"),
    payload_of_garbage=forge_raw(b'{"alg":"HS256"}', b"\xff\xfe\x00", sign),
    header_deep=forge_raw(b'{"alg":"HS256","x":' + b"[" * 2_000 + b"}", b"{}", sign),
)
SPELLING = tokens(
    closes(4500),
    padded=f"{HEAD}.{PAYLOAD}.{SIGNATURE}=",
    line_end_behind=made() + "\n",
    blank_within=made().replace(".", ". ", 1),
    high_letters="é.é.é",
    dots="." * 3_000,
    null="null.null.null",
    nul_bytes="\x00.\x00.\x00",
    bearer_within="Bearer " + made(),
    of_8193_bytes="a" * 8193,
    flipped=f"{HEAD}.{PAYLOAD}.{SIGNATURE[::-1]}",
) + tokens(closes(4501), expired=made({"exp": 1}), expired_a_minute_ago=made({"exp": int(time()) - 90}))
GOOD = tokens(
    Lives(),
    jku_ignored=made({"sub": "m1"}, jku=TRAP_URL, x5u=TRAP_URL, jwk=jwk_of(STRANGER)),
    rs256=made({"sub": "m2"}, alg="RS256", kid="rs", signed=sign_rs256),
    ps256=made({"sub": "m3"}, alg="PS256", kid="ps", signed=sign_ps256),
    es256=made({"sub": "m4"}, alg="ES256", kid="es", signed=sign_es256),
    eddsa=made({"sub": "m5"}, alg="EdDSA", kid="ed", signed=ED_KEY.sign),
    uid_of_255_letters=made({"sub": "🎉" * 255}),
    uid_that_is_a_subject=made({"sub": "pushgate.*.>"}),
    evil_for_itself=made({"sub": "m6", "tenant": "evil"}, signed=sign_evil),
)
CASES = [*ALGORITHMS, *KEYS_BROUGHT_ALONG, *CLAIMS, *SPELLING, *GOOD]
