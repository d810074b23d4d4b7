"""A plotly chart that grows while you look at it: new points arrive, zoom and hover stay.

gr.Plot throws the chart away and builds it anew on every change; this one calls Plotly.react on
the chart that is there. Plotly's script is the one in the installed package, so no network.
Text and grid take the theme's colours, in light and dark.
"""

from __future__ import annotations

import functools
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

import gradio as gr

_TEMPLATE = (
    '<div class="live-plot-empty empty" style="height: HEIGHTpx" hidden>'
    '<div class="empty-text">WORDS</div></div>'
    '<div class="live-plot" style="height: HEIGHTpx"></div>'
)

_SCRIPT = """
const box = element.querySelector('.live-plot');
const waiting = element.querySelector('.live-plot-empty');
const css = (name, other) =>
    getComputedStyle(element).getPropertyValue(name).trim() || other;
let shown = null;
function draw() {
    box.hidden = !props.value;
    waiting.hidden = Boolean(props.value);
    if (!window.Plotly || !props.value || !box.offsetWidth) { return; }
    const figure = JSON.parse(props.value);
    const layout = figure.layout;
    layout.font = Object.assign(layout.font || {}, {
        color: css('--body-text-color-subdued', '#8b93a3'), family: css('--font', 'sans-serif')});
    for (const axis of Object.keys(layout).filter((key) => /^[xy]axis/.test(key))) {
        layout[axis].gridcolor = css('--border-color-primary', '#8b93a333');
    }
    // The card's own: Plotly outlines the line under the pointer in it, in white if it is clear.
    layout.paper_bgcolor = layout.plot_bgcolor = css('--card', '#fff');
    layout.hoverlabel = {bgcolor: css('--background-fill-primary', '#fff'),
        font: {color: css('--body-text-color', '#222')},
        bordercolor: css('--border-color-primary', '#888')};
    shown = props.value;
    window.Plotly.react(box, figure.data, layout,
        {displaylogo: false, responsive: false, modeBarButtonsToRemove: ['select2d', 'lasso2d']});
}
watch('value', draw);
let width = 0;
new ResizeObserver(() => {
    if (!box.offsetWidth || box.offsetWidth === width) { return; }
    width = box.offsetWidth;
    if (shown === null || shown !== props.value) { draw(); }
    else if (box.data) { window.Plotly.Plots.resize(box); }
}).observe(box);
new MutationObserver(draw).observe(document.body, {attributes: true, attributeFilter: ['class']});
draw();
"""


@functools.cache
def _plotly_script() -> Path:
    """The browser script in the installed plotly, made servable (only this one file)."""
    import plotly

    script = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
    gr.set_static_paths([script])
    return script


def live_plot(figure: Any = None, *, height_pixels: int, elem_id: str, empty_text: str) -> gr.HTML:
    """A chart component. Update it with `figure_value(figure)`; without one it says `empty_text`.
    """
    address = "gradio_api/file=" + quote(_plotly_script().as_posix())
    # No ${...} in the template: it is drawn once, and what Plotly put inside stays untouched.
    template = _TEMPLATE.replace("HEIGHT", str(height_pixels)).replace("WORDS", escape(empty_text))
    return gr.HTML(
        figure_value(figure), html_template=template, js_on_load=_SCRIPT,
        head=f'<script src="{address}"></script>', elem_id=elem_id,
        min_height=height_pixels, apply_default_css=False,
    )


def figure_value(figure: Any) -> str:
    """What the component's value is for a figure; empty for none. A trace keeps its uid, by which
    the plot knows again what was hidden."""
    return "" if figure is None else figure.to_json(remove_uids=False)
