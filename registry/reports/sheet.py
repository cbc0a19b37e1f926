"""A page measured in inches from its top left corner, with the type and colours that all pictures share.

Only objects of matplotlib are used, never ``pyplot``, so drawing leaves no trace in the program around it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from io import BytesIO
from typing import TYPE_CHECKING, Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, get_font
from PIL import Image

from registry.words import plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

PAGE = 7.5
"""Inches. In a window of 1280 pixels Prefect's UI shows a picture 585 wide, in which 8 points can be read."""

WIDTH = 10.0
"""Inches of a page with so much beside each other that it has to be made larger by whoever reads it."""

SMALL = 8
"""Points of what is not the main thing."""

_DOTS = 1600  # from left to right, so that a picture stays crisp on fine screens
_FONT = "DejaVu Sans"  # comes with matplotlib, so every machine has it

INK, QUIET, FAINT, SHADE = "#1F2430", "#667085", "#E4E7EC", "#F1F3F6"

# M. Okabe, K. Ito, Color Universal Design (2008)
BLUE, GREEN, VERMILLION, PURPLE, SKY = (
    "#0072B2",
    "#009E73",
    "#D55E00",
    "#CC79A7",
    "#56B4E9",
)


@dataclass(frozen=True)
class Mark:
    """How something is marked: never by colour alone.

    Attributes:
        shape: matplotlib's name of the marker.
        colour: Of its edge.
        fill: Of its inside.
        size: In points.
    """

    shape: str
    colour: str
    fill: str
    size: float = 7.0

    @property
    def style(self) -> dict[str, Any]:
        """The mark as matplotlib's options."""
        return {
            "marker": self.shape,
            "markersize": self.size,
            "markeredgecolor": self.colour,
            "markerfacecolor": self.fill,
            "markeredgewidth": 1.4,
            "linestyle": "none",
        }


class Sheet:
    """A page. Places are inches from the left and from the top."""

    def __init__(self, height: float, width: float = WIDTH) -> None:
        self.height = height
        self.width = width
        self.figure = Figure(figsize=(width, height), dpi=_DOTS / width, facecolor="white")
        self._page = self.figure.add_axes((0, 0, 1, 1))
        self._page.set(xlim=(0, width), ylim=(height, 0))
        self._page.axis("off")

    def text(self, x: float, y: float, text: str, **options: Any) -> None:
        """Write *text*, whose middle is at height *y*."""
        style = {"size": 9, "color": INK, "va": "center_baseline", "family": _FONT}
        self._page.text(x, y, drawable(text), parse_math=False, **{**style, **options})

    def rules(self, heights: Sequence[float], left: float, right: float) -> None:
        """Draw a hairline at each of the *heights*."""
        self._page.hlines(heights, left, right, color=FAINT, linewidth=0.8, zorder=0)

    def mark(self, x: float, y: float, mark: Mark) -> None:
        """Set a mark."""
        self._page.plot([x], [y], **mark.style)

    def patch(self, x: tuple[float, float], y: tuple[float, float], **options: Any) -> None:
        """Fill a rectangle between two *x* and two *y*."""
        self._page.fill_between(x, y[0], y[1], linewidth=0, **options)

    def panel(self, left: float, top: float, width: float, height: float) -> Axes:
        """A part of the page with axes of its own: quiet ones, values below, no frame."""
        bottom = (self.height - top - height) / self.height
        axes = self.figure.add_axes((left / self.width, bottom, width / self.width, height / self.height))
        axes.patch.set_visible(False)
        for side in ("left", "right", "top"):
            axes.spines[side].set_visible(False)
        axes.spines["bottom"].set(color=FAINT, linewidth=0.8)
        axes.tick_params(
            axis="x",
            bottom=True,
            top=False,
            labelbottom=True,
            direction="out",
            length=3,
            color=FAINT,
            labelcolor=QUIET,
            labelsize=8,
            labelfontfamily=_FONT,
        )
        axes.yaxis.set_visible(False)
        return axes

    def png(self) -> bytes:
        """The page as a PNG; the same page is the same bytes."""
        canvas: Any = FigureCanvasAgg(self.figure)  # its methods have no types
        canvas.draw()
        drawn = Image.frombuffer("RGBA", canvas.get_width_height(), canvas.buffer_rgba()).convert("RGB")
        page = BytesIO()
        # a few hundred colours fit a palette to the eye, and it saves two thirds of the bytes
        drawn.quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(page, "png")
        return page.getvalue()


def drawable(text: str) -> str:
    """*text* with a replacement for each character that the font can't draw."""
    return "".join(c if _has_glyph(c) else "\N{REPLACEMENT CHARACTER}" for c in plain(text, 400))


@cache
def _has_glyph(character: str) -> bool:
    return bool(get_font(findfont(_FONT)).get_char_index(ord(character)))


def width_of(text: str) -> float:
    """The width of a small *text*, of 8 points, in inches."""
    font = get_font(findfont(_FONT))
    font.set_size(SMALL, 72)
    font.set_text(drawable(text))
    return font.get_width_height()[0] / 64 / 72
