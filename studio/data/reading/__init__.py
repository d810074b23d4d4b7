"""Reads the sources of a recipe in blocks: any size, at memory that does not grow.

    sources_of (what `data.source`, `mix` and `eval_source` mean)
      -> Source.blocks (cut here, about a megabyte each) -> Block.read (parsed on any process)

A module per kind of file. Does not look at what the columns mean.
"""
