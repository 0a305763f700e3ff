"""Rules for values that types cannot say; each is fast for what is usual."""

import re
from itertools import accumulate
from math import isfinite

MAX_SAFE_INTEGER = 2**53 - 1
"""The largest integer that every JSON reader keeps (RFC 8259 section 6)."""

MAX_NESTING = 512
"""Lists and maps within each other in `data`: half of what any of our codecs follows, wherever it is called from."""

# What a number too large for JSON holds, after digits became 0 and E became e: 16 digits, or an exponent of three.
# Replacing bytes and searching costs a tenth of what a regular expression does.
_SHAPE = bytes.maketrans(b"123456789E", b"000000000e")
_MANY_DIGITS = b"0" * 16

_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"|-?[0-9][0-9.eE+-]*+')
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_STEPS = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def has_control(text: str) -> bool:
    """Whether there is a control character (Unicode category Cc) in a text."""
    return not text.isprintable() and _CONTROL.search(text) is not None


def unsafe_number(data: bytes) -> str | None:
    """Return the first number in JSON text that its readers could not keep, or None.

    These are integers beyond `MAX_SAFE_INTEGER`, which JavaScript rounds without a word, and numbers too large
    for a double. `data` is valid JSON.
    """
    shape = data.translate(_SHAPE)
    if _MANY_DIGITS not in shape and b"e000" not in shape and b"e+000" not in shape:
        return None
    for match in _TOKEN.finditer(data):
        token = match[0]
        if token[0] == 0x22:
            continue
        if token.strip(b"-0123456789"):
            safe = isfinite(float(token))
        else:
            safe = len(token) < 20 and abs(int(token)) <= MAX_SAFE_INTEGER
        if not safe:
            return token[:24].decode()
    return None


def nests_too_deep(data: bytes) -> bool:
    """Whether lists and maps stand deeper than `MAX_NESTING` within each other in JSON text, which is valid."""
    if data.count(b"[") + data.count(b"{") <= MAX_NESTING:
        return False
    # Without escapes, quotation marks stand where strings begin and end, and nowhere else.
    unescaped = data.replace(rb"\\", b"").replace(rb"\"", b"")
    brackets = b"".join(unescaped.split(b'"')[::2]).translate(None, _NO_BRACKETS)
    return max(accumulate(map(_STEPS.__getitem__, brackets)), default=0) > MAX_NESTING
