"""The studio's own theme: petrol on paper by day, on slate by night.

Colours, type, and shapes of gradio's own components. Layout and the studio's hand-made parts are
in assets/studio.css, which takes its colours from the variables set here. Fonts are those that
come with gradio: nothing is fetched from the network.
"""

from __future__ import annotations

from gradio.themes.base import Base
from gradio.themes.utils import fonts, sizes
from gradio.themes.utils.colors import Color

PETROL = Color(
    name="petrol", c50="#eef8f8", c100="#d5eeee", c200="#aedddd", c300="#7cc5c7", c400="#45a6ab",
    c500="#1f8a91", c600="#12717a", c700="#105b63", c800="#12494f", c900="#133d42", c950="#06262a",
)
SLATE = Color(
    name="slate", c50="#f7f8f7", c100="#eff1f0", c200="#e0e4e3", c300="#c8cfce", c400="#97a2a2",
    c500="#6b7777", c600="#4f5b5c", c700="#364142", c800="#20292b", c900="#161d1f", c950="#0f1416",
)

TOGGLE_THEME = """() => {
    const dark = document.body.classList.toggle('dark');
    document.documentElement.classList.toggle('dark', dark);
    try { localStorage.setItem('studio-theme', dark ? 'dark' : 'light'); } catch (error) {}
}"""
"""Runs in the browser when the switch is pressed; remembers the choice."""

RESTORE_THEME = """() => {
    const named = new URLSearchParams(window.location.search).get('__theme');
    let kept = null;
    try { kept = localStorage.getItem('studio-theme'); } catch (error) {}
    if (kept && !named) {
        document.body.classList.toggle('dark', kept === 'dark');
        document.documentElement.classList.toggle('dark', kept === 'dark');
    }
}"""
"""Runs in the browser when the page opens. A theme named in the address wins."""


class StudioTheme(Base):
    """Quiet surfaces, one accent, thin lines instead of shadows."""

    def __init__(self) -> None:
        super().__init__(
            primary_hue=PETROL, secondary_hue=PETROL, neutral_hue=SLATE,
            text_size=sizes.text_md, spacing_size=sizes.spacing_md, radius_size=sizes.radius_md,
            font=(fonts.LocalFont("IBM Plex Sans", weights=(400, 700)), "ui-sans-serif",
                  "system-ui", "sans-serif"),
            font_mono=(fonts.LocalFont("IBM Plex Mono", weights=(400, 700)), "ui-monospace",
                       "Consolas", "monospace"),
        )
        # Only Regular and Bold: the SemiBold files that come with gradio lack most letters.
        self.name = "adapter-studio"
        # One call: a second one would forget some of the dark colours of the first.
        self.set(**_surfaces(), **_inputs(), **_buttons())


def _surfaces() -> dict[str, str]:
    return dict(
        body_background_fill="#f3f5f4", body_background_fill_dark="#0d1213",
        body_text_color="#1b2425", body_text_color_dark="#e4eaea",
        body_text_color_subdued="#5b6869", body_text_color_subdued_dark="#93a1a2",
        background_fill_primary="white", background_fill_primary_dark="#161e20",
        background_fill_secondary="*neutral_50", background_fill_secondary_dark="#1e282a",
        border_color_primary="#dfe4e3", border_color_primary_dark="#2a3537",
        color_accent_soft="*primary_50", color_accent_soft_dark="#12363a",
        link_text_color="*primary_700", link_text_color_dark="*primary_300",
        block_background_fill="transparent", block_background_fill_dark="transparent",
        block_border_width="0px", block_border_width_dark="0px", block_padding="0px",
        block_shadow="none", block_shadow_dark="none", block_radius="8px",
        block_title_text_weight="600", block_title_text_size="13.5px",
        block_title_text_color="*body_text_color", block_title_text_color_dark="#e4eaea",
        block_info_text_size="12.5px", block_info_text_color="*body_text_color_subdued",
        block_label_background_fill="transparent", block_label_border_width="0px",
        block_label_background_fill_dark="transparent",
        panel_background_fill="white", panel_background_fill_dark="*neutral_900",
        layout_gap="16px", form_gap_width="0px",
        table_even_background_fill="white", table_even_background_fill_dark="*neutral_900",
        table_odd_background_fill="*neutral_50", table_odd_background_fill_dark="#1a2224",
        error_background_fill="#fdf1ee", error_background_fill_dark="#33201c",
    )


def _inputs() -> dict[str, str]:
    return dict(
        input_background_fill="white", input_background_fill_dark="#11181a",
        input_border_color="#cdd5d4", input_border_color_dark="#344143",
        input_border_color_focus="*primary_500", input_border_color_focus_dark="*primary_400",
        input_border_width="1px", input_radius="7px", input_padding="8px 10px",
        input_shadow="none", input_shadow_focus="0 0 0 3px rgba(31,138,145,.18)",
        input_text_size="*text_md",
        checkbox_label_background_fill="white", checkbox_label_background_fill_dark="#11181a",
        checkbox_label_background_fill_hover="*neutral_50",
        checkbox_label_background_fill_hover_dark="#1a2224",
        checkbox_label_background_fill_selected="*primary_50",
        checkbox_label_background_fill_selected_dark="#12363a",
        checkbox_label_border_color="#cdd5d4", checkbox_label_border_color_dark="#344143",
        checkbox_label_border_color_selected="*primary_500",
        checkbox_label_border_color_selected_dark="*primary_500",
        checkbox_label_text_color_selected="*primary_800",
        checkbox_label_text_color_selected_dark="*primary_200",
        checkbox_label_border_width="1px", checkbox_label_padding="6px 12px",
        checkbox_label_shadow="none", checkbox_label_gap="6px",
        checkbox_background_color_selected="*primary_600",
        checkbox_background_color_selected_dark="*primary_500",
        checkbox_border_color_selected="*primary_600",
        checkbox_border_color_selected_dark="*primary_500",
        slider_color="*primary_500", slider_color_dark="*primary_400",
    )


def _buttons() -> dict[str, str]:
    return dict(
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_dark="*primary_600",
        button_primary_background_fill_hover="*primary_700",
        button_primary_background_fill_hover_dark="*primary_500",
        button_primary_border_color="*primary_600",
        button_primary_border_color_dark="*primary_500",
        button_primary_text_color="white", button_primary_text_color_dark="white",
        button_secondary_background_fill="white",
        button_secondary_background_fill_dark="#1c2628",
        button_secondary_background_fill_hover="*neutral_100",
        button_secondary_background_fill_hover_dark="#253133",
        button_secondary_border_color="#cdd5d4", button_secondary_border_color_dark="#344143",
        button_secondary_border_color_hover="*primary_400",
        button_secondary_border_color_hover_dark="*primary_500",
        button_secondary_text_color="*body_text_color",
        button_secondary_text_color_dark="#e4eaea",
        button_cancel_background_fill="#fff", button_cancel_background_fill_dark="#2a1d1b",
        button_cancel_text_color="#b23a22", button_cancel_text_color_dark="#ff9f89",
        button_cancel_border_color="#e3b5aa", button_cancel_border_color_dark="#6b362b",
        button_border_width="1px", button_primary_shadow="none", button_secondary_shadow="none",
        button_large_radius="8px", button_medium_radius="8px", button_small_radius="7px",
        button_large_text_weight="600", button_medium_text_weight="600",
        button_small_text_weight="600", button_large_text_size="*text_md",
        button_medium_text_size="*text_md", button_small_text_size="*text_sm",
        button_large_padding="9px 18px", button_medium_padding="8px 14px",
        button_small_padding="5px 11px",
    )
