"""Line charts as SVG: a few series of points over one axis, linear or logarithmic."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

WIDTH, HEIGHT = 760, 320
LEFT, RIGHT, TOP, BOTTOM = 76, 170, 44, 48
COLORS = ("#3b7dd8", "#e8963a", "#3f9b62", "#b0508e", "#7a6ad8", "#8b97a6")
INK, FAINT = "#3a4656", "#d5dae1"
TICKS = 5

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Chart:
    """One picture. The y axis begins at zero."""

    title: str
    x_label: str
    y_label: str
    series: Mapping[str, Points]
    logarithmic_x: bool = False


def write_charts(path: Path, charts: Sequence[Chart]) -> None:
    """All charts below each other in one file."""
    parts = [
        f'<g transform="translate(0 {HEIGHT * index})">{_draw(each)}</g>' for index, each in enumerate(charts)
    ]
    size = f'viewBox="0 0 {WIDTH} {HEIGHT * len(charts)}"'
    background = f'<rect width="{WIDTH}" height="{HEIGHT * len(charts)}" fill="#ffffff"/>'
    path.write_text(
        "\n".join(
            [f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif">', background, *parts]
        )
        + "\n</svg>\n"
    )


def _draw(chart: Chart) -> str:
    points = [point for series in chart.series.values() for point in series]
    if not points:
        return _text(LEFT, 24, f"{chart.title}: nothing was measured", 15)
    scale_x = _log if chart.logarithmic_x else float
    first, last = min(scale_x(x) for x, _ in points), max(scale_x(x) for x, _ in points)
    step = _round_step(max(y for _, y in points))
    top = step * TICKS
    wide, high = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def place(x: float, y: float) -> tuple[float, float]:
        across = (scale_x(x) - first) / ((last - first) or 1)
        return LEFT + wide * across, TOP + high * (1 - y / top)

    marks = [_text(LEFT, 24, chart.title, 15)]
    for tick in range(TICKS + 1):
        y = TOP + high * (1 - tick / TICKS)
        marks.append(f'<line x1="{LEFT}" y1="{y:.1f}" x2="{LEFT + wide}" y2="{y:.1f}" stroke="{FAINT}"/>')
        marks.append(_text(LEFT - 8, y + 4, f"{tick * step:,.10g}", 11, "end"))
    across = [(x, place(x, 0)[0]) for x in _ticks_x(chart, points)]
    marks += [_text(at, TOP + high + 18, f"{x:,.7g}", 11, "middle") for x, at in across]
    marks.append(_text(LEFT + wide / 2, HEIGHT - 10, chart.x_label, 12, "middle"))
    marks.append(_text(LEFT - 8, TOP - 8, chart.y_label, 12, "end"))
    for index, (name, series) in enumerate(chart.series.items()):
        color = COLORS[index % len(COLORS)]
        line = " ".join("{:.1f},{:.1f}".format(*place(*point)) for point in series)
        marks.append(f'<polyline points="{line}" fill="none" stroke="{color}" stroke-width="1.6"/>')
        marks.append(_text(LEFT + wide + 12, TOP + 12 + 18 * index, name, 12, fill=color))
    return "\n".join(marks)


def _ticks_x(chart: Chart, points: Points) -> list[float]:
    if chart.logarithmic_x:
        return sorted({x for x, _ in points})
    first, last = min(x for x, _ in points), max(x for x, _ in points)
    return [first + (last - first) * part / TICKS for part in range(TICKS + 1)]


def _round_step(highest: float) -> float:
    """The least of 1, 2, 2.5 and 5 times a power of ten that reaches the highest value in `TICKS` steps."""
    least = max(highest, 1e-9) / TICKS
    power = 10.0 ** math.floor(math.log10(least))
    return next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= least * 0.999)


def _log(x: float) -> float:
    return math.log10(max(x, 1e-9))


def _text(x: float, y: float, words: str, size: int, anchor: str = "start", fill: str = INK) -> str:
    escaped = words.replace("&", "&amp;").replace("<", "&lt;")
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" fill="{fill}">{escaped}</text>'
