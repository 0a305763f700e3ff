"""What a device may be called: the one rule for clients that name themselves and for pushes that name them."""

import re

DEVICE = "[A-Za-z0-9._:-]{1,64}"
"""The rule as a regular expression, to be matched whole."""

_match = re.compile(DEVICE).fullmatch


def is_device(text: str) -> bool:
    """Whether a text can be a device's name: 1 to 64 of A-Z a-z 0-9 . _ : -"""
    return _match(text) is not None
