"""Does an exported artifact answer as the live model does? Asks both the same and compares.

    sample (what is asked) -> reference (the live model) and artifact (its own consumer:
    transformers_side, llama_side) -> compare, checks (what is found) -> verdict (words)
    -> report (files beside the artifact); check.py has them work together
"""

from studio.export.verify.answers import ask_gguf
from studio.export.verify.check import verify
from studio.export.verify.reference import Reference, live_reference
from studio.export.verify.report import read_report, report_files
from studio.export.verify.verification import Verification

__all__ = ["Reference", "Verification", "ask_gguf", "live_reference", "read_report",
           "report_files", "verify"]
