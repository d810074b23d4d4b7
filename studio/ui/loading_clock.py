"""Stops the clock that gradio's loading screen leaves running when it goes.

The screen counts its seconds in every frame, and goes on for nobody once the page is there: sixty
times a second, for as long as the page is open, which keeps a tenth of a core from training. Its
frame callbacks cannot be reached by name, so the script finds them by their numbers.
"""

from __future__ import annotations

STOP_LOADING_CLOCK = """() => {
    const enough = 30, most = 3600;
    let mine = 0, alone = 0, frames = 0;
    function look() {
        const next = requestAnimationFrame(look);
        // Numbers are given in turn: who asks once in every frame asked for the one between.
        alone = next - mine === 2 ? alone + 1 : 0;
        mine = next;
        frames += 1;
        if (alone === enough) { cancelAnimationFrame(next - 1); }
        if (alone === enough || frames === most) { cancelAnimationFrame(next); }
    }
    mine = requestAnimationFrame(look);
}"""
"""Runs in the browser when the page opens. Where no such clock runs it ends after a minute."""
