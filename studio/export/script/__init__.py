"""A run as one readable Python script over transformers, PEFT and TRL, which needs no studio.

`write.py` is the way in. `carried.py` holds functions that the script carries as they stand here,
`rows.py` writes the examples beside it, `text.py` puts the script together with `main_text.py` and
`rewards.py`, `differs.py` says what it does otherwise than the run, `accelerate.py` writes the
configuration to launch it with.
"""

from studio.export.script.write import script_bytes, write_script

__all__ = ["script_bytes", "write_script"]
