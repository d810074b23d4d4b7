"""pip's last words, turned into one sentence and what to do next.

Looks for the words that pip, urllib3, and the operating systems use; the order matters, since
pip ends most failures with "No matching distribution".
"""

from __future__ import annotations

import platform
import re
import sys
from dataclasses import dataclass

from studio.errors import SetupError

AGAIN = "Then run the same command again; what was downloaded is kept."


@dataclass(frozen=True)
class Failure:
    """One kind of failure: how to know it, and what to say."""

    kind: str
    pattern: str
    message: str
    hint: str


FAILURES = (
    Failure(
        "no space",
        r"No space left on device|Errno 28\b|Errno 122\b|WinError 112|not enough space on the disk",
        "The disk is full: the packages did not fit.",
        "Free some space, or move this folder to a larger disk; on Linux without an NVIDIA GPU, "
        f"python launch.py --torch cpu needs about 5 GB less. {AGAIN}",
    ),
    Failure(
        "managed by the system",
        r"externally-managed-environment",
        "This Python belongs to the operating system, which does not let pip install into it.",
        "Make an environment of your own (python3 -m venv mine) and use its Python.",
    ),
    Failure(
        "certificate",
        r"CERTIFICATE_VERIFY_FAILED|certificate verify failed|SSLCertVerificationError",
        "The package index could not be trusted: its certificate did not verify.",
        "On a company network, point pip at the company's certificate (pip config set global.cert "
        f"FILE), and check the date of this PC. {AGAIN}",
    ),
    Failure(
        "proxy",
        r"ProxyError|Cannot connect to proxy|Tunnel connection failed|407 Proxy",
        "The proxy did not let pip through to the package index.",
        f"Check the variables HTTP_PROXY and HTTPS_PROXY, or pip's own proxy setting. {AGAIN}",
    ),
    Failure(
        "no network",
        r"NewConnectionError|NameResolutionError|Temporary failure in name resolution|getaddrinfo"
        r"|Name or service not known|ConnectTimeout|Max retries exceeded|Network is unreachable"
        r"|Failed to establish a new connection|[Cc]onnection timed out|No route to host",
        "The package index cannot be reached from this PC.",
        "Connect to the internet, or set HTTPS_PROXY if you are behind a proxy; in a browser, "
        f"any web page should open. {AGAIN}",
    ),
    Failure(
        "interrupted",
        r"IncompleteRead|Connection broken:|ConnectionResetError|Read timed out|ReadTimeoutError"
        r"|Connection aborted|RemoteDisconnected|incomplete-download",
        "A download broke off before it was complete.",
        f"Check the connection. {AGAIN}",
    ),
    Failure(
        "damaged download",
        r"DO NOT MATCH THE HASHES|BadZipFile|is not a zip file|has an invalid wheel"
        r"|^ERROR: Wheel .* is invalid",
        "A downloaded package is damaged.",
        "Clear pip's cache (python -m pip cache purge) and run the same command again.",
    ),
    Failure(
        "path too long",
        r"WinError 206|Long Path support|filename or extension is too long",
        "A path became longer than Windows allows.",
        "Move this folder near the root of the disk (such as C:\\studio), or switch on long paths "
        f"in Windows. {AGAIN}",
    ),
    Failure(
        "no permission",
        r"Permission denied|Errno 13\b|WinError 5\b|Access is denied|WinError 32\b",
        "A file could not be written: no permission, or another program holds it.",
        "Close a studio that is still open, check that this folder is yours to write in, and run "
        "the same command again.",
    ),
    Failure(
        "no build for this PC",
        # With the lock as constraints, a version that is not to be had looks like a conflict.
        r"The user requested \(constraint\)|No matching distribution found"
        r"|Failed building wheel|Failed to build|Microsoft Visual C\+\+"
        r"|subprocess-exited-with-error|Requires-Python",
        "A package has no ready build for this Python and system.",
        "Use a 64-bit Python 3.11 to 3.14, on a Mac with Apple silicon; and check the connection, "
        "since an index that does not answer can look the same.",
    ),
    Failure(
        "conflict",
        r"ResolutionImpossible|conflicting dependencies",
        "Two packages ask for different versions of a third.",
        "Update this folder to a released state and run the same command again.",
    ),
)


def classify(output: str) -> Failure | None:
    """The kind of failure that pip's output tells of, or None for an unknown one.

    A retry is no failure yet: what it says counts only if pip in the end got no list of versions,
    which is how an index that cannot be reached looks.
    """
    retries = [line for line in output.splitlines() if "Retrying (" in line]
    rest = "\n".join(line for line in output.splitlines() if "Retrying (" not in line)
    if retries and re.search(r"from versions: none|ResolutionImpossible", rest):
        return _first_match("\n".join(retries))
    return _first_match(rest)


def _first_match(text: str) -> Failure | None:
    for failure in FAILURES:
        if re.search(failure.pattern, text, re.MULTILINE):
            return failure
    return None


def as_error(output: str, log: str) -> SetupError:
    """A sentence for a person: the known kind, or pip's own last error line."""
    failure = classify(output)
    where = f"All of pip's output is in {log}."
    if failure is None:
        last = next((line for line in reversed(output.splitlines()) if "ERROR" in line), "")
        return SetupError(
            f"pip could not install the packages: {last or 'it gave no reason'}.",
            f"{where} Run the same command again; if that fails, delete the folder .venv first.",
        )
    message = failure.message
    if failure.kind == "no build for this PC":
        missing = re.search(
            r"(?:No matching distribution found for|Failed building wheel for|"
            r"The user requested \(constraint\)) (\S+)", output,
        )
        name = f" ({missing[1]})" if missing else ""
        version = ".".join(map(str, sys.version_info[:2]))
        message = (f"A package{name} has no ready build for Python {version} on "
                   f"{platform.system()} {platform.machine()}.")
    return SetupError(message, f"{failure.hint} {where}")
