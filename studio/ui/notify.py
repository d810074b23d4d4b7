"""A note when a run ends: a sound, a notification of the browser, each a switch in the header.

The switches are kept in the browser. A page in the background gets no ticks, so a small script
asks the studio's own address `/studio/ended`, and only while a switch is on. Nothing leaves this
PC.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import gradio as gr

from studio.ui.panels.train_view import state_word

if TYPE_CHECKING:
    from starlette.routing import Route

    from studio.runs import Run
    from studio.story import Story
    from studio.ui.studio import Studio

PATH = "/studio/ended"
POLL_SECONDS = 10
TOLD = 5
"""So many of the runs that ended last are in an answer; more hardly end between two questions."""
ENDED_STATES = ("done", "paused", "stopped", "cancelled", "failed", "interrupted")

_PAGE = """
<details class="notify"><summary title="A note when a run ends" aria-label="A note when a run ends">
<svg viewBox="0 0 20 20" aria-hidden="true"><path d="M10 2.5c-3 0-4.8 2.2-4.8 5v3.1L3.6 13.8h12.8
l-1.6-3.2V7.5c0-2.8-1.8-5-4.8-5zM8.2 15.6a1.9 1.9 0 0 0 3.6 0"/></svg>
<span class="notify-state"></span></summary>
<div class="notify-box" role="group" aria-label="When a run ends">
<div class="notify-title">When a run ends</div>
<label><input type="checkbox" data-note="sound"> Play a sound</label>
<label><input type="checkbox" data-note="notice"> Show a notification</label>
<p class="quiet">Also while this page is in the background. Kept in this browser.</p>
<p class="notify-trouble" role="alert" hidden></p></div></details>
"""

_SCRIPT = """
const box = element.querySelector('.notify');
const state = element.querySelector('.notify-state');
const trouble = element.querySelector('.notify-trouble');
const switches = [...element.querySelectorAll('[data-note]')];
const key = (name) => 'studio-note-' + name;
function kept(name) {
    try { return localStorage.getItem(key(name)) === 'on'; } catch (error) { return false; }
}
function keep(name, on) {
    try { localStorage.setItem(key(name), on ? 'on' : 'off'); } catch (error) {}
}
function show() {
    const on = switches.filter((one) => one.checked).map((one) => one.dataset.note);
    state.textContent = on.length === 2 ? 'Sound, notification'
        : {sound: 'Sound', notice: 'Notification'}[on[0]] || '';
    box.classList.toggle('notify-on', on.length > 0);
}
function wrong(words) { trouble.textContent = words; trouble.hidden = !words; }

// Browsers allow a sound only after a click or a key in the page.
let audio = null;
function unlock() {
    if (!kept('sound') || !window.AudioContext) { return; }
    audio = audio || new AudioContext();
    if (audio.state === 'suspended') { audio.resume(); }
}
document.addEventListener('pointerdown', unlock);
document.addEventListener('keydown', unlock);
function play() {
    unlock();
    if (!audio) { return; }
    [523.25, 659.25, 783.99].forEach((pitch, place) => {
        const start = audio.currentTime + 0.16 * place;
        const tone = audio.createOscillator();
        const loudness = audio.createGain();
        tone.frequency.value = pitch;
        loudness.gain.setValueAtTime(0.0001, start);
        loudness.gain.exponentialRampToValueAtTime(0.2, start + 0.02);
        loudness.gain.exponentialRampToValueAtTime(0.0001, start + 0.45);
        tone.connect(loudness).connect(audio.destination);
        tone.start(start);
        tone.stop(start + 0.5);
    });
}
function notice(title, words, tag) {
    const made = new Notification(title, {body: words, tag: tag, icon: 'favicon.ico'});
    made.onclick = () => { window.focus(); made.close(); };
}
async function turned(one) {
    const name = one.dataset.note;
    wrong('');
    if (one.checked && name === 'notice') {
        const answer = window.Notification ? await Notification.requestPermission() : 'denied';
        if (answer !== 'granted') {
            one.checked = false;
            wrong('This browser does not allow notifications of this page. Allow them in its '
                + 'settings for this address, then switch this on again.');
        }
    }
    keep(name, one.checked);
    show();
    if (one.checked && name === 'sound') { play(); }
    if (one.checked && name === 'notice') {
        notice('Adapter Studio', 'You will be told here when a run ends.', 'studio');
    }
    known = null;
    look();
}
let known = null;
async function look() {
    if (!switches.some((one) => one.checked)) { return; }
    let found = null;
    try {
        const answer = await fetch(PATH, {cache: 'no-store'});
        found = answer.ok ? (await answer.json()).ended : null;
    } catch (error) {}  // closed, or just being started again: asked again soon
    if (!found) { return; }
    const fresh = found.filter((run) => known !== null && run.ended_seconds > known);
    known = Math.max(known || 0, ...found.map((run) => run.ended_seconds));
    if (fresh.length && kept('sound')) { play(); }
    if (kept('notice') && window.Notification && Notification.permission === 'granted') {
        fresh.forEach((run) => notice(run.title, run.text, 'run-' + run.name));
    }
}
for (const one of switches) {
    one.checked = kept(one.dataset.note);
    one.addEventListener('change', () => turned(one));
}
document.addEventListener('click', (event) => {
    if (!element.contains(event.target)) { box.open = false; }
});
show();
clearInterval(window.studioNotes);
window.studioNotes = setInterval(look, EVERY);
look();
""".replace("PATH", f"'{PATH.lstrip('/')}'").replace("EVERY", str(1000 * POLL_SECONDS))


def build() -> gr.HTML:
    """The two switches and the script behind them."""
    return gr.HTML(_PAGE, js_on_load=_SCRIPT, elem_id="notify", padding=False)


def routes(studio: Studio) -> list[Route]:
    """The address that the script asks; the server's guard of host names stands before it."""
    from starlette.requests import Request
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    def answer(request: Request) -> JSONResponse:
        return JSONResponse({"ended": ended(studio)})

    return [Route(PATH, answer)]


def ended(studio: Studio) -> list[dict[str, Any]]:
    """The runs that ended last, the newest first: name, title, text, ended_seconds."""
    found = [_told(run, run.story()) for run in studio.shelf.runs()
             if run.story().state in ENDED_STATES]
    return sorted(found, key=lambda one: -one["ended_seconds"])[:TOLD]


def _told(run: Run, story: Story) -> dict[str, Any]:
    return {"name": run.name, "title": f"{run.name}: {state_word(story.state).lower()}",
            "text": _text(story), "ended_seconds": run.last_told_seconds}


def _text(story: Story) -> str:
    if story.error:
        return story.error[0]
    loss = story.points[-1].loss if story.points else math.nan
    steps = f"{story.step:,} of {story.total_steps:,} steps" if story.total_steps else ""
    return ", ".join(part for part in (
        steps, f"loss {loss:.4f}" if math.isfinite(loss) else "") if part) or story.detail
