"""Whether a caller may come in: its API key."""

from pushgate.api.context import TenantKeys
from pushgate.errors import Problem


class Keys:
    """Knows the tenants' API keys by the `Authorization` header they come in."""

    def __init__(self, tenants: TenantKeys) -> None:
        self._tenants = tenants
        # Hashing a key costs more than the rest of admitting. Only good headers are kept: there are few.
        self._known: dict[bytes, str] = {}
        self._generation = tenants.generation

    def admit(self, authorization: bytes | None) -> str:
        """Return the tenant of an `Authorization` header. Raises Problem 401."""
        if self._generation != self._tenants.generation:
            self._known.clear()
            self._generation = self._tenants.generation
        tenant = self._known.get(authorization) if authorization is not None else None
        return self._tenant_of(authorization) if tenant is None else tenant

    def _tenant_of(self, authorization: bytes | None) -> str:
        if authorization is None:
            raise Problem("unauthorized", "expected `Authorization: Bearer <api key>`, got no such header")
        scheme, _, key = authorization.partition(b" ")
        if scheme.lower() != b"bearer" or not key.strip():
            raise Problem("unauthorized", "expected `Authorization: Bearer <api key>`, got something else")
        tenant = self._tenants.tenant_of_key(key.strip())
        if tenant is None:
            raise Problem("unauthorized", "no tenant has this API key")
        if len(self._known) < 1024:
            self._known[authorization] = tenant
        return tenant
