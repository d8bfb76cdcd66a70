"""Promise: a picture of stock over time that needs no script and no other host, says in words what
it shows, and is readable in a light and in a dark page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

#: Pixels of the drawing; it grows with the page, and is scrolled where that is narrow.
WIDTH, HEIGHT = 800, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 12, 44, 12, 26
#: Told apart by those who see few colours, on white and on black.
COLOURS = ("#0d9488", "#d97706", "#6366f1", "#db2777", "#65a30d", "#0284c7", "#a855f7", "#78716c")


@dataclass(frozen=True)
class Line:
    """A figure at each of the chart's moments."""

    name: str
    values: Sequence[int]

    @property
    def in_words(self) -> str:
        first, last = self.values[0], self.values[-1]
        return f"{self.name}: {first:,} at first, {last:,} now"


def step_chart(moments: Sequence[str], lines: Sequence[Line], *, title: str) -> SafeString:
    """One stepped line for each, over moments that are equally far from each other; a figure
    stays until the moment at which it changes."""
    top = _nice(max((max(line.values) for line in lines), default=0))
    frame = _Frame(len(moments), top)
    return format_html(
        # Where it must be scrolled, it begins with what was last.
        '<figure><div style="overflow-x:auto;direction:rtl"><svg viewBox="0 0 {} {}" role="img" '
        'aria-label="{}" style="direction:ltr;width:100%;min-width:{}px" font-size="10" '
        'fill="currentColor">{}{}{}</svg></div>'
        '<figcaption style="display:flex;flex-wrap:wrap;gap:4px 16px;font-size:12px">{}'
        "</figcaption></figure>",
        *(WIDTH, HEIGHT),
        f"{title}. " + "; ".join(line.in_words for line in lines),
        WIDTH - 80,
        format_html_join("", "{}", ((mark,) for mark in _scale(frame))),
        format_html_join("", "{}", ((mark,) for mark in _moments(frame, moments))),
        format_html_join("", "{}", ((_path(frame, n, line),) for n, line in enumerate(lines))),
        format_html_join("", "{}", ((_label(n, line),) for n, line in enumerate(lines))),
    )


def colour(number: int) -> str:
    return COLOURS[number % len(COLOURS)]


@dataclass(frozen=True)
class _Frame:
    steps: int
    top: int

    def x(self, step: int) -> float:
        return round(_LEFT + step * (WIDTH - _LEFT - _RIGHT) / max(1, self.steps - 1), 1)

    def y(self, value: float) -> float:
        return round(HEIGHT - _BOTTOM - value * (HEIGHT - _TOP - _BOTTOM) / self.top, 1)


def _nice(highest: int) -> int:
    """The scale's end, of which the quarters are round."""
    step = 1
    while True:
        for end in (4, 8, 12, 16, 20):
            if end * step >= highest:
                return end * step
        step *= 10


def _scale(frame: _Frame) -> Iterator[SafeString]:
    for quarter in range(5):
        value = frame.top * quarter // 4
        yield format_html(
            '<line x1="{}" x2="{}" y1="{y}" y2="{y}" stroke="currentColor" stroke-opacity=".15"/>'
            '<text x="{}" y="{y}" dy="4" fill-opacity=".7">{}</text>',
            *(_LEFT, WIDTH - _RIGHT, WIDTH - _RIGHT + 6, short(value)),
            y=frame.y(value),
        )


def _moments(frame: _Frame, moments: Sequence[str]) -> Iterator[SafeString]:
    """The first, the last and some between."""
    last = len(moments) - 1
    for step in sorted({last * part // 4 for part in range(5)}) if moments else ():
        anchor = "start" if step == 0 else "end" if step == last else "middle"
        yield format_html(
            '<text x="{}" y="{}" text-anchor="{}" fill-opacity=".7">{}</text>',
            *(frame.x(step), HEIGHT - 8, anchor, moments[step]),
        )


def _path(frame: _Frame, number: int, line: Line) -> SafeString:
    steps, before = [f"M{frame.x(0)} {frame.y(line.values[0])}"], line.values[0]
    for step, value in enumerate(line.values):
        if value != before or step == len(line.values) - 1:
            steps.append(f"H{frame.x(step)}V{frame.y(value)}")
        before = value
    return format_html(
        '<path d="{}" fill="none" stroke="{}" stroke-width="2" stroke-linejoin="round">'
        "<title>{}</title></path>",
        *("".join(steps), colour(number), line.in_words),
    )


def _label(number: int, line: Line) -> SafeString:
    return format_html(
        '<span style="white-space:nowrap"><span style="display:inline-block;width:12px;height:3px;'
        'margin-right:6px;vertical-align:middle;background:{}"></span>{}</span>',
        *(colour(number), line.name),
    )


def short(value: int) -> str:
    """Six figures at most: 950, 12k, 3.5M."""
    for size, letter in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if value >= 10 * size or (value >= size and value * 10 % size == 0):
            return f"{value / size:.1f}".removesuffix(".0") + letter
    return str(value)
