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
        """Return the tenant of an `Authorization` header. Raises Problem 401, and 403 for a read key."""
        if self._generation != self._tenants.generation:
            self._known.clear()
            self._generation = self._tenants.generation
        tenant = self._known.get(authorization) if authorization is not None else None
        return self._tenant_of(authorization) if tenant is None else tenant

    def admit_reader(self, authorization: bytes | None) -> tuple[str, bool]:
        """Return the tenant of a header on a request that only asks, and whether its key may more.

        Raises Problem 401.
        """
        key = _key_of(authorization)
        tenant = self._tenants.tenant_of_read_key(key)
        return (self.admit(authorization), True) if tenant is None else (tenant, False)

    def _tenant_of(self, authorization: bytes | None) -> str:
        key = _key_of(authorization)
        tenant = self._tenants.tenant_of_key(key)
        if tenant is None:
            if self._tenants.tenant_of_read_key(key) is not None:
                raise Problem("forbidden", "this is a read key: it may only ask (GET)")
            raise Problem("unauthorized", "no tenant has this API key")
        if authorization is not None and len(self._known) < 1024:
            self._known[authorization] = tenant
        return tenant


def _key_of(authorization: bytes | None) -> bytes:
    if authorization is None:
        raise Problem("unauthorized", "expected `Authorization: Bearer <api key>`, got no such header")
    scheme, _, key = authorization.partition(b" ")
    if scheme.lower() != b"bearer" or not key.strip():
        raise Problem("unauthorized", "expected `Authorization: Bearer <api key>`, got something else")
    return key.strip()
