"""The page: six tabs over the engine. Nothing outside this package imports gradio or plotly."""
