"""What pictures are drawn on: matplotlib, loaded with the first picture, and its Axes.

A notebook shows a picture that is the value of a cell. Where `matplotlib.pyplot` is loaded, it does so itself, with
figures that pyplot knows; else the Axes do, which say how to be shown.
"""

import functools
import io
import math
import sys

__all__ = [
    "DPI",
    "close",
    "color_bar",
    "fit_figure",
    "integer_ticks",
    "legend_below",
    "load_matplotlib",
    "new_or_given",
    "panel_ticks",
]

DPI = 128  # a power of two: a whole number of dots stays whole when it is turned into inches and back
_MARGIN = 8  # dots


def load_matplotlib():
    """matplotlib, with the modules that pictures need."""
    try:
        import matplotlib.axes
        import matplotlib.cm
        import matplotlib.colors
        import matplotlib.figure
        import matplotlib.patches
        import matplotlib.ticker
    except ImportError as error:
        raise ImportError("Pictures need matplotlib: `pip install keras-ar[plots]`.") from error
    return matplotlib


def new_or_given(ax, width, height):
    """`ax`, or the only Axes of a new figure of `width` times `height` inches."""
    mpl = load_matplotlib()
    if ax is None:
        pyplot = sys.modules.get("matplotlib.pyplot")
        options = {"figsize": (width, height), "dpi": DPI, "layout": "constrained"}
        if pyplot:
            return pyplot.figure(**options).add_subplot()
        return mpl.figure.Figure(**options).add_subplot(axes_class=_axes_that_show_themselves())
    if not isinstance(ax, mpl.axes.Axes):
        raise ValueError(f"`ax` must be a matplotlib Axes, or None for a figure of its own. Received: ax={ax!r}.")
    return ax


def close(ax):
    """Lets go of a figure that nobody is to see: pyplot keeps the figures that it knows."""
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close(ax.figure)


@functools.cache
def _axes_that_show_themselves():
    class ShownAxes(load_matplotlib().axes.Axes):
        """Axes that a notebook shows as a picture of their figure."""

        def _repr_png_(self):
            picture = io.BytesIO()
            self.figure.savefig(picture, format="png")
            return picture.getvalue()

    return ShownAxes


def fit_figure(ax, height, width):
    """Makes the figure of `ax` large enough for `height` times `width` dots, and what is written around them."""
    figure = ax.figure
    figure.set_size_inches(width / DPI, height / DPI)
    ax.set_position((0, 0, 1, 1))
    around = ax.get_tightbbox()
    left, below = (math.ceil(max(-edge, 0)) + _MARGIN for edge in (around.x0, around.y0))
    right, above = (math.ceil(max(edge, 0)) + _MARGIN for edge in (around.x1 - width, around.y1 - height))
    whole_width, whole_height = left + width + right, below + height + above
    figure.set_size_inches(whole_width / DPI, whole_height / DPI)
    ax.set_position((left / whole_width, below / whole_height, width / whole_width, height / whole_height))


def color_bar(ax, mappable, label, is_new, **options):
    """A color bar to the right: as high as the Axes in a new figure, else in a part of the Axes that was given."""
    width = 0.2 / ax.figure.get_size_inches()[0]
    place = {"cax": ax.inset_axes((1 + width, 0, width, 1))} if is_new else {"ax": ax, "fraction": 0.05, "pad": 0.03}
    ax.figure.colorbar(mappable, label=label, **place, **options)
    if is_new:
        ax.figure.draw_without_rendering()  # the layout needs one drawing to learn how wide the bar is


def integer_ticks(axis):
    """Ticks at round integers only."""
    axis.set_major_locator(load_matplotlib().ticker.MaxNLocator("auto", integer=True, steps=[1, 2, 5, 10]))


def legend_below(ax, patches):
    """A legend under the Axes and under what is written below it."""
    ax.figure.draw_without_rendering()  # settles where that text ends
    lowest = ax.get_tightbbox().y0
    _, y = ax.transAxes.inverted().transform((0, lowest))
    columns = len(patches) if ax.bbox.width > 4 * ax.figure.dpi else 1
    place = {"loc": "upper center", "bbox_to_anchor": (0.5, y), "borderaxespad": 0.4}
    ax.legend(handles=patches, ncols=columns, frameon=False, **place)


def panel_ticks(lowest, highest, starts, count, integer=False):
    """Ticks along an axis on which each panel begins anew: where they are, and what is written there."""
    locator = load_matplotlib().ticker.MaxNLocator(count, steps=[1, 2, 5, 10], integer=integer)
    ticks = locator.tick_values(lowest, highest)
    ticks = [float(tick) for tick in ticks if lowest <= tick <= highest]
    return [start + tick for start in starts for tick in ticks], [f"{tick:g}" for _ in starts for tick in ticks]
