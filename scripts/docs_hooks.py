"""What MkDocs does to a page beside what it does to all: links that leave docs/ become the name of a file.

On the repository's own pages they lead somewhere; the site has no such files, and knows no address of the repository.
"""

import re
from typing import Any

_LINK = re.compile(r"\[([^]]+)]\(\.\./([^)#\s]+)[^)]*\)")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Return a page's text, with the path of each file outside of docs/ in place of a link to it."""
    return _LINK.sub(_name, markdown)


def _name(link: "re.Match[str]") -> str:
    text, path = link.groups()
    return f"`{path}`" if text in path else f"{text} (`{path}`)"
