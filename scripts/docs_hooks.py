"""What MkDocs does to a page beside what it does to all.

Links that leave docs/ become the name of a file: on the repository's own pages they lead somewhere; the site has no
such files, and knows no address of the repository. Diagrams become what scripts/draw-diagrams has drawn.
"""

import re
from hashlib import sha256
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parents[1] / "docs"
DRAWINGS = DOCS / "diagrams"
DIAGRAM = re.compile(r"^```mermaid\n(.*?)^```$", re.M | re.S)

_LINK = re.compile(r"\[([^]]+)]\(\.\./([^)#\s]+)[^)]*\)")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Return a page's text, with files outside of docs/ named, and diagrams drawn. Raises OSError where one is not."""
    return DIAGRAM.sub(_draw, _LINK.sub(_name, markdown))


def drawing_of(diagram: str) -> Path:
    """Return where the drawing of a diagram is: another text is another drawing."""
    return DRAWINGS / f"{sha256(diagram.encode()).hexdigest()[:16]}.svg"


def _name(link: "re.Match[str]") -> str:
    text, path = link.groups()
    return f"`{path}`" if text in path else f"{text} (`{path}`)"


def _draw(diagram: "re.Match[str]") -> str:
    return f'<figure class="diagram">{drawing_of(diagram[1]).read_text()}</figure>'
