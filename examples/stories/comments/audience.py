"""An audience that talks: made up, so that a stream is busy without a crowd."""

import random
from collections.abc import Iterator

_NAMES = ("Ada", "Ben", "Chen", "Dunja", "Emre", "Fatou", "Gita", "Hugo", "Ines", "Jun", "Kofi", "Lena")
_WORDS = ("That goal!", "Again, please", "What a save", "Hello from the train", "Louder!", "I missed it", "Beautiful")
_BURST = ("GOAL!", "Goooal!", "Yes!!!", "Unbelievable", "No way", "Offside?")

ROUNDS = 24


def talk(seed: int) -> Iterator[list[tuple[str, str]]]:
    """Yield what is said in each round: some comments, and in every sixth round hundreds at once."""
    chance = random.Random(seed)  # noqa: S311
    for number in range(ROUNDS):
        goal = number % 6 == 3
        count = 800 if goal else chance.randint(5, 20)
        yield [(chance.choice(_NAMES), chance.choice(_BURST if goal else _WORDS)) for _ in range(count)]
