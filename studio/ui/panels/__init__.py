"""One module per tab. Each has `build(studio, shared)`, plain handlers, and a pure `view`."""
