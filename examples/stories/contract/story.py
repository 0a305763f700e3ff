"""Two parties sign a contract, each at its own page; each sees at once what the other does."""

import secrets
import time
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from litestar import get, post
from litestar.exceptions import NotFoundException, ValidationException
from litestar.types import ControllerRouterHandler

from examples.stories.business import Business
from examples.stories.contract.seal import digest, seal
from examples.stories.visitors import uid_of

_WEEK = 7 * 86400
_LARGEST_DRAWING = 100_000  # characters of a data URL


@dataclass
class Terms:
    """What is to be signed, and by whom."""

    text: str
    parties: list[str]


@dataclass
class Drawing:
    """A signature as it was drawn: a PNG, as a data URL."""

    drawing: str


@dataclass
class Contract:
    """A contract. The key of a party is the secret in its link."""

    terms: Terms
    keys: list[str] = field(default_factory=lambda: [secrets.token_urlsafe(16) for _ in range(2)])
    id: str = field(default_factory=lambda: secrets.token_hex(8))
    opened: set[int] = field(default_factory=set)
    drawings: dict[int, str] = field(default_factory=dict)
    statements: dict[int, dict[str, str]] = field(default_factory=dict)

    def describe(self, reader: int) -> dict[str, Any]:
        """Return what a party sees."""
        parties = [
            {"name": name, "opened": number in self.opened, "drawing": self.drawings.get(number)}
            | {"statement": self.statements.get(number)}
            for number, name in enumerate(self.terms.parties)
        ]
        return {"id": self.id, "text": self.terms.text, "you": reader, "parties": parties}


def contract_routes(business: Business) -> list[ControllerRouterHandler]:
    """Return the calls of this story. Contracts, and the server's key, are kept as long as it runs."""
    contracts: dict[str, tuple[Contract, int]] = {}
    notary = Ed25519PrivateKey.generate()

    def find(key: str) -> tuple[Contract, int]:
        if key not in contracts:
            raise NotFoundException("there is no such contract")
        return contracts[key]

    async def tell(contract: Contract, party: int, what: str) -> None:
        """Push to both parties what one of them did. They ask for the contract then: it is too large for a push."""
        for key in contract.keys:
            data = {"contract": contract.id, "party": party, "what": what}
            await business.push(
                uid_of(key), "contract", data, id=f"{contract.id}-{what}-{party}-{uid_of(key)}", ttl=_WEEK
            )

    @post("/api/contract")
    async def draw_up(data: Terms) -> dict[str, list[str]]:
        """Draw up a contract; returns the links of the two parties."""
        if len(data.parties) != 2 or not all(1 <= len(name) <= 60 for name in data.parties):
            raise ValidationException("two parties, please, with names of 1 to 60 characters")
        if not 1 <= len(data.text) <= 20_000:
            raise ValidationException("a contract has 1 to 20,000 characters")
        contract = Contract(data)
        contracts.update({key: (contract, party) for party, key in enumerate(contract.keys)})
        return {"links": [f"/contract/sign#{key}" for key in contract.keys]}

    @post("/api/contract/{key:str}/token")
    async def token(key: str) -> dict[str, str]:
        """A token for the page of a party: who has the link is the party."""
        find(key)
        return {"token": await business.token(uid_of(key))}

    @get("/api/contract/{key:str}")
    async def read(key: str) -> dict[str, Any]:
        """The contract, as it is now; the other party is told that it is being read."""
        contract, party = find(key)
        if party not in contract.opened:
            contract.opened.add(party)
            business.begin(tell(contract, party, "opened"))
        return contract.describe(party)

    @post("/api/contract/{key:str}/signature")
    async def sign(key: str, data: Drawing) -> dict[str, Any]:
        """Sign, once."""
        contract, party = find(key)
        if party in contract.drawings:
            raise ValidationException("you have signed already")
        if not data.drawing.startswith("data:image/png;base64,") or len(data.drawing) > _LARGEST_DRAWING:
            raise ValidationException("a signature is a small PNG, as a data URL")
        statement = {
            "contract": digest(contract.terms.text),
            "party": contract.terms.parties[party],
            "drawing": digest(data.drawing),
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        }
        contract.drawings[party] = data.drawing
        contract.statements[party] = {**statement, "seal": seal(notary, statement)}
        business.begin(tell(contract, party, "signed"))
        return contract.describe(party)

    @get("/api/contract/seal/key")
    async def public_key() -> dict[str, str]:
        """The key that seals are checked with, in hex."""
        return {"ed25519": notary.public_key().public_bytes_raw().hex()}

    return [draw_up, token, read, sign, public_key]
