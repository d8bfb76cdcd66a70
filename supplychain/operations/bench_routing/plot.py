"""The gaps as a picture: a bar for each set and engine. Drawn here, so that it is the same text
for the same figures, and legible on light and dark pages alike."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from .sample import AUTO, GROUPS
from .table import Row

WIDTH, LABELS, BAR, SPACE = 760, 330, 16, 26
GREY = "#808080"
COLOURS = {AUTO: "#2a9d8f", "ortools": "#e9a23b", "usual OR-Tools": "#b56576"}


def svg(rows: Sequence[Row]) -> str:
    """Mean gap to the best known costs; a line marks a set's goal."""
    shown = [(row, row.mean_gap) for row in rows if row.mean_gap is not None]
    goals = {group.name: group.most_gap for group in GROUPS}
    most = max([1.0, *(gap for _, gap in shown), *(goals[row.group] or 0 for row, _ in shown)])
    scale = (WIDTH - LABELS - 80) / most
    height = SPACE * len(shown) + 40
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'font-family="sans-serif" font-size="13" fill="{GREY}">',
        _text(10, 18, "mean gap to the best known cost in %; a stroke marks the goal"),
    ]
    for number, (row, gap) in enumerate(shown):
        parts += _bar(row, gap, goals[row.group], SPACE * number + 32, scale)
    return "\n".join([*parts, "</svg>", ""])


def _bar(row: Row, gap: float, goal: float | None, top: int, scale: float) -> list[str]:
    colour = COLOURS.get(row.engine.partition(" (")[0], GREY)
    length = max(0.0, gap) * scale
    name = f"{row.group}, {row.engine}, {row.runs} runs"
    found = [
        _text(10, top + 13, name),
        f'<rect x="{LABELS}" y="{top}" width="{length:.1f}" height="{BAR}" fill="{colour}"/>',
        _text(LABELS + length + 8, top + 13, f"{gap:.2f}"),
    ]
    if goal is not None and row.engine.startswith(AUTO):
        at = LABELS + goal * scale
        found.append(
            f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{top - 3}" y2="{top + BAR + 3}" '
            f'stroke="{GREY}" stroke-width="2"/>'
        )
    return found


def _text(x: float, y: float, words: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}">{escape(words)}</text>'
