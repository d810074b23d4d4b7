"""Trying the libraries in a process of their own: what it tells, whatever happens there."""

from __future__ import annotations

import pytest

from studio.hardware.library_trial import Trial, read_trial, try_libraries

BOTH = ["torch", "bitsandbytes"]


def test_what_is_not_installed_is_not_tried() -> None:
    assert try_libraries(["transformers"]) == Trial()


@pytest.mark.parametrize(("output", "expected"), [
    ('trial:{"architectures": ["sm_80"], "gpu_uuid": "1-2", "cuda_works": true}\n'
     'trial:{"architectures": ["sm_80"], "gpu_uuid": "1-2", "cuda_works": true, '
     '"bitsandbytes_tried": true}\n', Trial(True, "", "1-2", ("sm_80",))),
    ('noise\ntrial:{"architectures": ["sm_80"], "cuda_works": false, "cuda_error": "No driver", '
     '"bitsandbytes_tried": true, "bitsandbytes_error": "broken"}\n',
     Trial(False, "No driver", None, ("sm_80",), "broken")),
    ('trial:{"architectures": []}\n', Trial(bitsandbytes_error="it ends with code -11.")),
    ("", Trial(False, "it ends with code -11.", bitsandbytes_error="it ends with code -11.")),
])
def test_a_trial_that_breaks_off_tells_how_far_it_came(output: str, expected: Trial) -> None:
    assert read_trial(output, BOTH, "it ends with code -11.") == expected
