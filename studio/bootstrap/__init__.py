"""From a bare Python to a running studio, with the standard library alone.

`main.py` reads the call, `environment.py` chooses the Python to run in, `install.py` fills it,
`handover.py` starts the verb in it. Nothing here imports an installed package, so that all of
it runs before anything is installed; `lock.py`, for whoever changes dependencies, is the
exception. Everything is said on standard error: standard output belongs to the verb.
"""
