"""What can be set for a tenant, and its defaults."""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field

from pushgate.config.hiding import HIDDEN, show_fields, show_struct

Count = Annotated[int, Meta(ge=0)]

Algorithm = Literal["HS256", "HS384", "HS512", "RS256", "PS256", "ES256", "EdDSA"]


class TokenKeyConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """`[[tenants.NAME.token_keys]]`: one key that client tokens may be signed with, under just one algorithm.

    HS* take `secret`, text of at least 32, 48 or 64 bytes: as long as the hash. The others take `public_key`
    (PEM) or `public_key_file` (its path, from the working directory): RSA of at least 2048 bits, P-256 for
    ES256, Ed25519 for EdDSA. `kid` picks the key; a token without `kid` is checked with the keys without one.
    """

    algorithm: Algorithm
    kid: str = ""
    secret: str = ""
    public_key: str = ""
    public_key_file: str = ""

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """Return the fields as they may be shown: without keys (`public_key` may hold a private one)."""
        return show_fields(self, secret=self.secret and HIDDEN, public_key=self.public_key and HIDDEN)

    def __repr__(self) -> str:
        return show_struct(self)


KeyHash = Annotated[str, Meta(pattern=r"\Asha256:[0-9a-f]{64}\Z")]


class TenantConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """`[tenants.NAME]`: one isolated application.

    `api_keys` are SHA-256 hashes of its API keys, written `sha256:<hex>`, and `read_keys` of keys that may only ask
    (`GET`), as for the console. `require_exp` refuses tokens that never expire. Its limits are per node, and 0 means
    none: `connections` open at once, `pushes_per_second` (each push of a batch is one), `max_message` bytes of a
    push's data, `max_batch` pushes in a batch. Those of its inbox hold for all nodes, and 0 means as in `[inbox]`:
    `inbox_bytes` (`max_bytes` there), `inbox_messages` (`max_messages`) and `max_ttl`. A lower `inbox_messages` removes
    nothing: where a log has more than half of it, it waits for the next reload or start.
    """

    api_keys: list[KeyHash] = field(default_factory=list)
    token_keys: list[TokenKeyConfig] = field(default_factory=list)
    read_keys: list[KeyHash] = field(default_factory=list)
    require_exp: bool = True
    connections: Count = 0
    pushes_per_second: Count = 0
    max_message: Count = 0
    max_batch: Annotated[int, Meta(ge=1, le=1000)] = 1000
    inbox_bytes: Count = 0
    inbox_messages: Count = 0
    max_ttl: Annotated[int, Meta(ge=0, le=366 * 86400)] = 0

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """Return the fields as they may be shown: of a hash only as much as tells it from others."""
        shown = {name: [f"{key[:15]}{HIDDEN}" for key in getattr(self, name)] for name in ("api_keys", "read_keys")}
        return show_fields(self, **shown)

    def __repr__(self) -> str:
        return show_struct(self)
