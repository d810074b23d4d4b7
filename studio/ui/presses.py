"""Scripts for HTML of our own whose buttons tell the server what was pressed, or copy a text.

They run in the browser as `js_on_load` of a `gr.HTML`. What a press does is for those who listen.
"""

from __future__ import annotations

COPY = """
async function copy(button, text) {
    await navigator.clipboard.writeText(text);
    button.textContent = 'Copied';
    setTimeout(() => { button.textContent = 'Copy'; }, 1200);
}
"""
"""For scripts with buttons that copy: `copy(button, text)`."""

COPY_SCRIPT = COPY + """
element.addEventListener('click', (event) => {
    const button = event.target.closest('button.copy');
    if (button) {
        copy(button, button.closest('.copied').querySelector('code, pre').textContent);
    }
});
"""
"""The copy buttons of what `markup.copied` has made, and others inside a `.copied`."""


def press_script(data: str) -> str:
    """A press on what has `data-DATA` is a `click` of the component. Its event has all data of
    that element by name: `event.what` for `data-what`."""
    return f"""
element.addEventListener('click', (event) => {{
    const pressed = event.target.closest('[data-{data}]');
    if (pressed) {{ trigger('click', {{...pressed.dataset}}); }}
}});
"""
