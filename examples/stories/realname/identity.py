"""Numbers of identity cards: GB 11643, whose last character is checked by ISO 7064 MOD 11-2."""

import re
from datetime import date

_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)


def check_number(number: str) -> None:
    """Raises ValueError, saying what is wrong, for what is no number of a card."""
    if not re.fullmatch("[0-9]{17}[0-9X]", number):
        raise ValueError("a number has 17 digits, and a digit or X at the end")
    try:
        date(int(number[6:10]), int(number[10:12]), int(number[12:14]))
    except ValueError:
        raise ValueError(f"there is no such day of birth: {number[6:14]}") from None
    total = sum(weight * int(digit) for weight, digit in zip(_WEIGHTS, number[:17], strict=True))
    if number[17] != "10X98765432"[total % 11]:
        raise ValueError("the last character does not fit the others: mistyped?")


def mask_number(number: str) -> str:
    """Return as much of a number as may be shown."""
    return f"{number[:6]}········{number[-4:]}"
