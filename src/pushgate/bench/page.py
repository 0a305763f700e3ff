"""A bench's result as one HTML page that needs nothing else: figures as tables, plots as SVG."""

import math
from html import escape

from pushgate.bench.options import Plot, Result

_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP = 640, 248, 64, 40, 12
_STYLE = """
:root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif }
body { margin: 2rem auto; max-width: 60rem; padding: 0 1rem }
table { border-collapse: collapse; margin: 1rem 0 }
td table { margin: 0 }
th, td { border-bottom: 1px solid #8884; padding: .25rem .75rem; text-align: left; vertical-align: top }
th { font-weight: 600 }
.bad { color: #c22 }
svg { display: block; max-width: 100%; height: auto }
path { fill: none; stroke: #27c; stroke-width: 2 }
line { stroke: #8886 }
text { fill: currentColor; font-size: 12px }
"""


def make_page(result: Result) -> str:
    """Return the page."""
    name = escape(str(result.figures.get("bench", "bench")))
    state = "all was well" if result.ok else '<span class="bad">not everything opened, stayed and arrived</span>'
    warnings = "".join(f'<p class="bad">{escape(warning)}</p>' for warning in result.warnings)
    plots = "".join(f"<h2>{escape(plot.title)}</h2>{_draw(plot)}" for plot in result.plots)
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>pushgate bench {name}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style>'
        f"<h1>pushgate bench {name}</h1><p>{state}</p>{warnings}{_tabulate(result.figures)}{plots}</html>"
    )


def _tabulate(value: object) -> str:
    if isinstance(value, dict):
        rows = "".join(f"<tr><th>{escape(str(key))}</th><td>{_tabulate(part)}</td></tr>" for key, part in value.items())
        return f"<table>{rows}</table>" if rows else "none"
    if isinstance(value, list):
        return "".join(_tabulate(part) for part in value)
    return f"{value:,}" if isinstance(value, int | float) else escape(str(value))


def _draw(plot: Plot) -> str:
    """Return a line with its axes; the upper end of each is a round number."""
    first, last = plot.points[0][0], plot.points[-1][0]
    most = _round_up(max(y for _, y in plot.points))
    span = (last - first) or 1.0

    def place(x: float, y: float) -> tuple[float, float]:
        across = _LEFT + (x - first) / span * (_WIDTH - _LEFT - 16)
        return round(across, 1), round(_TOP + (1 - y / most) * (_HEIGHT - _TOP - _BOTTOM), 1)

    line = " L".join("{},{}".format(*place(x, y)) for x, y in plot.points)
    grid = []
    for part in range(5):
        value = most * part / 4
        _, y = place(first, value)
        grid.append(f'<line x1="{_LEFT}" x2="{_WIDTH - 16}" y1="{y}" y2="{y}"/>')
        grid.append(f'<text x="{_LEFT - 6}" y="{y + 4}" text-anchor="end">{value:,.6g}</text>')
    for part in range(5):
        value = first + span * part / 4
        x, _ = place(value, 0)
        grid.append(f'<text x="{x}" y="{_HEIGHT - 20}" text-anchor="middle">{value:,.4g}</text>')
    unit = f"{plot.y} by {plot.x}" if plot.y else plot.x
    grid.append(f'<text x="{_WIDTH - 16}" y="{_HEIGHT - 4}" text-anchor="end">{escape(unit)}</text>')
    label = escape(f"{plot.title}: {unit}")
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" role="img" aria-label="{label}">'
        f'{"".join(grid)}<path d="M{line}"/></svg>'
    )


def _round_up(value: float) -> float:
    """Return the least of 1, 2, 5, 10, … that is not below."""
    step: float = 10 ** math.floor(math.log10(value)) if value > 0 else 1.0
    return next(step * factor for factor in (1, 2, 5, 10) if step * factor >= value)
