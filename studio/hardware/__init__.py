"""What this PC has, what a recipe needs of it, and what is wrong with it.

`probe` looks at the machine, `telemetry` watches it during a run, `memory` estimates what a
recipe needs, `doctor` says what is wrong and how to mend it. None of them imports torch.
"""
