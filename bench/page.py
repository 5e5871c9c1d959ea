"""Writes docs/figures.md and its pictures from what the benches have kept: python -m bench.page."""

import json
from collections.abc import Iterator
from html import escape
from math import log10
from typing import Any

from bench.frame import RESULTS, Figure
from local.settings import ROOT

PAGE = ROOT / "docs" / "figures.md"
PICTURES = {
    "light": {"text": "#1f2328", "quiet": "#59636e", "ours": "#1f883d", "others": "#8c959f"},
    "dark": {"text": "#f0f6fc", "quiet": "#9198a1", "ours": "#3fb950", "others": "#656c76"},
}
HEAD = """\
# Figures

<!-- Written by `python -m bench.page` from bench/results. -->

What each bench measured when it was last run to be kept here. The sides of a section took turns in
one run. A ratio is to the section's first line; beside it the lowest and the highest of three runs.
"Middle half" is that of all calls. The machine ran everything: Postgres, the Data API, the
functions and whoever called them. Live events are sent as on a hosted project, where Realtime reads
them from the log: what the local one adds to it is switched off.

<picture>
  <source media="(prefers-color-scheme: dark)" srcset="images/figures-dark.svg">
  <img src="images/figures-light.svg" alt="What a turn costs, as multiples of a floor">
</picture>
"""
ORDER = (
    "turn", "road", "load", "list", "search", "stream", "throughput", "scale", "growth",
    "worst_turn", "cold_start", "peers",
)  # fmt: skip
DRAWN = ("turn", "peers")


def main() -> None:
    """Write the page, and the picture for light and for dark."""
    kept = [json.loads(p.read_text()) for p in sorted(RESULTS.glob("*.json"), key=_place)]
    PAGE.write_text(HEAD + "".join(_bench(bench) for bench in kept))
    bars = [bar for bench in kept if bench["bench"] in DRAWN for bar in _bars(bench)]
    for name, colours in PICTURES.items():
        (ROOT / "docs" / "images" / f"figures-{name}.svg").write_text(_picture(bars, colours))


def _place(path: Any) -> int:
    return ORDER.index(path.stem)


def _bench(bench: dict[str, Any]) -> str:
    load = " and ".join(f"{load}" for load in bench["load"])
    command = bench["bench"].replace("_", "-")
    lines = [
        f"\n## {bench['bench'].replace('_', ' ').capitalize()}\n\n",
        f"`make bench-{command}`, {bench['at']}, {bench['cores']} cores, "
        f"load {load} before and after.\n",
    ]
    for section in bench["sections"]:
        title = section["title"] or "what is looked at"
        lines.append(f"\n| {title} | median | middle half | ratio |\n|---|---|---|---|\n")
        lines += [_row(Figure(**figure)) for figure in section["figures"]]
    return "".join(lines)


def _row(figure: Figure) -> str:
    ratio = ""
    if figure.ratio is not None:
        ratio = f"{figure.ratio:.2f} ({min(figure.ratios):.2f} to {max(figure.ratios):.2f})"
    spread = f"{figure.low:.4g} to {figure.high:.4g}"
    return f"| {figure.name} | {figure.median:.4g} {figure.unit} | {spread} | {ratio} |\n"


def _bars(bench: dict[str, Any]) -> Iterator[tuple[str, float, bool]]:
    """Yield what the picture shows: label, ratio to the floor, whether it is ours."""
    for section in bench["sections"]:
        if section["title"].startswith("a turn"):
            for figure in section["figures"]:
                name = figure["name"]
                if figure["least"].startswith("floor"):
                    yield name, figure["ratio"], name.startswith(("turn", "ours"))


def _picture(bars: list[tuple[str, float, bool]], colours: dict[str, str]) -> str:
    """Draw bars on a logarithmic scale, each with its number."""
    width, label, row = 860, 360, 24
    height = row * len(bars) + 56
    unit = (width - label - 60) / log10(max(10.0, *(ratio for _, ratio, _ in bars)))
    drawn = [
        f'<text x="{label}" y="24" fill="{colours["quiet"]}">'
        "a turn, as a multiple of two inserts and a select (logarithmic)</text>"
    ]
    for number, (name, ratio, is_ours) in enumerate(bars):
        y = 40 + number * row
        length = max(2.0, log10(ratio) * unit) if ratio > 1 else 2.0
        fill = colours["ours" if is_ours else "others"]
        drawn += [
            f'<text x="{label - 8}" y="{y + 15}" text-anchor="end" fill="{colours["text"]}">'
            f"{escape(name)}</text>",
            f'<rect x="{label}" y="{y + 3}" width="{length:.0f}" height="16" fill="{fill}"/>',
            f'<text x="{label + length + 6:.0f}" y="{y + 15}" fill="{colours["quiet"]}">'
            f"{ratio:.3g}</text>",
        ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'font-family="system-ui, sans-serif" font-size="13">\n' + "\n".join(drawn) + "\n</svg>\n"
    )


if __name__ == "__main__":
    main()
