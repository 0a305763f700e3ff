"""The tenants of a node: they check tokens, sign them, and know whose an API key is."""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from secrets import token_urlsafe
from time import time
from typing import NamedTuple

from msgspec import ValidationError, convert, json

from pushgate.config import TenantConfig
from pushgate.errors import ConfigError, Problem
from pushgate.metrics.catalogue import MAX_TENANTS, TENANT_CONNECTIONS, TENANT_PUSHES, TENANT_WINDOW
from pushgate.metrics.rows import tenant_slot
from pushgate.tenants.keys import Key, load_key
from pushgate.tenants.tokens import MAX_TIME, Claims, Payload, explain, read_claims, refuse, split_token


class Quota(NamedTuple):
    """What a tenant may take of a node, 0 for no limit (as in `TenantConfig`), and where the rows count it."""

    connections: int
    pushes_per_second: int
    max_message: int
    max_batch: int
    max_ttl: int
    connections_slot: int
    pushes_slot: int
    window: int


class _Tenant(NamedTuple):
    keys: dict[tuple[str, str], list[Key]]  # by (kid, algorithm); several only where kid is ""
    signer: Key | None
    require_exp: bool


_UNKNOWN = _Tenant({}, None, require_exp=True)


class Tenants:
    """All tenants of a node, isolated from each other: a key of one never speaks for another.

    Everything is prepared by `load`; nothing is read or fetched later. Raises ConfigError that names the
    setting, as in `tenants.acme.token_keys[0].secret`.

    `numbers` has each tenant's number by its name: where the rows count it, the same in every process that loaded
    the same configurations. A number is never given to another name. `generation` counts the loads.
    """

    def __init__(self, tenants: Mapping[str, TenantConfig]) -> None:
        self.numbers: dict[str, int] = {}
        self.generation = 0
        self.load(tenants)

    def load(self, tenants: Mapping[str, TenantConfig]) -> None:
        """Have these tenants in place of those before. Raises ConfigError, and then those before stay."""
        loaded = {name: _load_tenant(name, config) for name, config in tenants.items()}
        api_keys, read_keys = _load_api_keys(tenants)
        new = [name for name in tenants if name not in self.numbers]
        if len(self.numbers) + len(new) > MAX_TENANTS:
            raise ConfigError(
                f"tenants: expected at most {MAX_TENANTS} names, those removed since the start among them,"
                f" got {len(self.numbers) + len(new)}"
            )
        for name in new:
            self.numbers[name] = len(self.numbers)
        self._tenants = loaded
        self._api_keys = api_keys
        self._read_keys = read_keys
        self._digests = {
            name: [bytes.fromhex(key.removeprefix("sha256:")) for key in config.api_keys]
            for name, config in tenants.items()
        }
        self._quotas = {name: _quota(self.numbers[name], config) for name, config in tenants.items()}
        self.generation += 1

    def quota_of(self, tenant: str) -> Quota | None:
        """Return what a tenant may take, or None for one that does not exist (any more)."""
        return self._quotas.get(tenant)

    def check_token(self, token: str) -> Claims:
        """Return what a client's token says.

        The claimed tenant, then `kid`, then `alg` pick the keys; without `kid` these are the tenant's keys
        that have none. Raises TokenRefused: TOKEN_EXPIRED for a good token whose time is over by the leeway,
        TOKEN_INVALID for everything else.
        """
        header, payload, signed, signature = split_token(token)
        tenant = self._tenants.get(payload.tenant, _UNKNOWN)
        keys = tenant.keys.get((header.kid, header.alg), ())
        if not keys:
            refuse("no key fits its tenant, `kid` and `alg`")
        if not any(key.verify(signed, signature) for key in keys):
            refuse("wrong signature")
        return read_claims(payload, tenant.require_exp)

    def tenant_of_key(self, api_key: bytes) -> str | None:
        """Return the name of the tenant that an API key belongs to, or None for an unknown or a read key."""
        # The lookup compares hashes, so its time tells nothing about a key.
        return self._api_keys.get("sha256:" + sha256(api_key).hexdigest())

    def tenant_of_read_key(self, read_key: bytes) -> str | None:
        """Return the name of the tenant that a read key belongs to, which may only ask; or None for any other key."""
        return self._read_keys.get("sha256:" + sha256(read_key).hexdigest())

    def digests_of(self, tenant: str) -> Sequence[bytes]:
        """Return the SHA-256 of each of a tenant's API keys, without those that only read; none for an unknown one."""
        return self._digests.get(tenant, ())

    def sign_token(self, tenant: str, uid: str, ttl: int, tags: Sequence[str] = ()) -> tuple[str, int]:
        """Return a token for a user and when it expires (seconds since 1970): `ttl` seconds from now.

        It is signed with the tenant's first symmetric key. Raises Problem: `forbidden` when the tenant has
        none (or is unknown), `bad_request` for a uid, ttl or tags outside the bounds in `tokens`.
        """
        signer = self._tenants.get(tenant, _UNKNOWN).signer
        if signer is None:
            raise Problem("forbidden", f"Tenant {tenant!r} has no HS256, HS384 or HS512 key to sign with")
        expires = int(time()) + ttl
        if ttl < 1 or expires > MAX_TIME:
            raise _bad_request("ttl", "Expected seconds, at least 1, that end before the year 10000")
        try:
            claims = {"sub": uid, "tenant": tenant, "exp": expires, "tags": tuple(tags)}
            payload = convert(claims, Payload)
        except ValidationError as error:
            field, reason = explain(error)
            raise _bad_request("user" if field == "sub" else field, reason) from None
        return signer.sign(json.encode(payload)), expires


def hash_api_key(api_key: str) -> str:
    """Return how an API key stands in the configuration: `sha256:<hex>`."""
    return "sha256:" + sha256(api_key.encode()).hexdigest()


def new_api_key() -> str:
    """Return a fresh API key: `pg_` and 32 random bytes in base64url, 46 characters in all."""
    return "pg_" + token_urlsafe(32)


def _load_tenant(name: str, config: TenantConfig) -> _Tenant:
    keys: dict[tuple[str, str], list[Key]] = {}
    signer: Key | None = None
    for index, key_config in enumerate(config.token_keys):
        path = f"tenants.{name}.token_keys[{index}]"
        key = load_key(key_config, path)
        others = keys.setdefault((key.kid, key.algorithm), [])
        if key.kid and others:
            raise ConfigError(
                f"{path}.kid: expected a kid of its own among the {key.algorithm} keys, got {key.kid!r} again"
            )
        if any(other.material == key.material for other in others):
            raise ConfigError(f"{path}: expected another {key.algorithm} key, got the same one again")
        others.append(key)
        if key.symmetric and signer is None:
            signer = key
    return _Tenant(keys, signer, config.require_exp)


def _quota(number: int, config: TenantConfig) -> Quota:
    slots = (tenant_slot(number, slot) for slot in (TENANT_CONNECTIONS, TENANT_PUSHES, TENANT_WINDOW))
    limits = (config.connections, config.pushes_per_second, config.max_message, config.max_batch, config.max_ttl)
    return Quota(*limits, *slots)


def _load_api_keys(tenants: Mapping[str, TenantConfig]) -> tuple[dict[str, str], dict[str, str]]:
    """Return the tenant of each hash of an API key, and of a read key.

    A hash that stands twice would make its tenant, or what it may do, a matter of order.
    """
    places: dict[str, str] = {}
    api_keys: dict[str, str] = {}
    read_keys: dict[str, str] = {}
    for name, config in tenants.items():
        for setting, hashes, owners in (
            ("api_keys", config.api_keys, api_keys),
            ("read_keys", config.read_keys, read_keys),
        ):
            for index, key_hash in enumerate(hashes):
                if key_hash in places:
                    raise ConfigError(
                        f"tenants.{name}.{setting}[{index}]: expected a key that stands nowhere else, "
                        f"got one that {places[key_hash]} has already"
                    )
                places[key_hash] = f"tenants.{name}.{setting}"
                owners[key_hash] = name
    return api_keys, read_keys


def _bad_request(field: str, reason: str) -> Problem:
    return Problem("bad_request", "A token for this cannot be signed", ((field, reason),))
