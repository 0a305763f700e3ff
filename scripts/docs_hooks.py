"""What MkDocs does to a page beside what it does to all.

Links that leave docs/ become the name of a file: on the repository's own pages they lead somewhere; the site has no
such files, and knows no address of the repository. A link that shows a page's file shows its title. Diagrams become
what scripts/draw-diagrams has drawn.
"""

import re
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parents[1] / "docs"
DRAWINGS = DOCS / "diagrams"
DIAGRAM = re.compile(r"^```mermaid\n(.*?)^```$", re.M | re.S)

_OUTSIDE = re.compile(r"\[([^]]+)]\(\.\./([^)#\s]+)[^)]*\)")
_FILE = re.compile(r"\[(\w+\.md)]\(")


def on_page_markdown(markdown: str, config: Any, **_: Any) -> str:
    """Return a page's text as the site shows it. Raises OSError where a diagram is not drawn."""
    titles = dict(_list_pages(config.nav))
    named = _FILE.sub(lambda link: f"[{titles.get(link[1], link[1])}](", _OUTSIDE.sub(_name, markdown))
    return DIAGRAM.sub(_draw, named)


def drawing_of(diagram: str) -> Path:
    """Return where the drawing of a diagram is: another text is another drawing."""
    return DRAWINGS / f"{sha256(diagram.encode()).hexdigest()[:16]}.svg"


def _list_pages(nav: list[Any]) -> Iterator[tuple[str, str]]:
    for entry in nav:
        for title, below in entry.items() if isinstance(entry, dict) else ():
            if isinstance(below, str):
                yield below, title
            else:
                yield from _list_pages(below)


def _name(link: "re.Match[str]") -> str:
    text, path = link.groups()
    return f"`{path}`" if text in path else f"{text} (`{path}`)"


def _draw(diagram: "re.Match[str]") -> str:
    return f'<figure class="diagram">{drawing_of(diagram[1]).read_text()}</figure>'
