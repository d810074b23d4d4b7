"""Run as a process of its own: uploads files to the Hub, as `hub.py` asks.

`python -m studio.export.hub_process REQUEST.json`. Large files go first, one by one; the commit
that makes them visible is the last request. The token comes from where `hub_token.py` finds it,
never from the request. Ends when the process that asked is gone.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from studio.child import end_with
from studio.errors import ExportError
from studio.export.hub_token import HOW_TO, known_token
from studio.files import write_json_safely
from studio.settings import load_settings, prepare_environment

_MESSAGE = "Upload from Adapter Studio"


def main(request_file: Path) -> None:
    """Do what the file asks for and write the outcome that it names."""
    request = json.loads(request_file.read_text(encoding="utf-8"))
    end_with(request["parent"])
    settings = load_settings(request["home"], offline=False)
    prepare_environment(settings)
    outcome: dict[str, Any] = {"error": None}
    try:
        token = known_token(settings)
        with told(request["repository"]):
            outcome |= _upload(request, token.value if token else None)
    except ExportError as error:
        outcome["error"] = [error.message, error.hint]
    write_json_safely(Path(request["outcome"]), outcome)


def _upload(request: dict[str, Any], token: str | None) -> dict[str, Any]:
    from huggingface_hub import CommitOperationAdd, HfApi

    api = HfApi(endpoint=request["endpoint"], token=token)
    name = request["repository"]
    _make(api, name, request["private"])
    operations = [CommitOperationAdd(inside, path) for inside, path in request["files"]]
    done = 0
    for operation in operations:
        write_json_safely(Path(request["progress"]), {
            "what": f"Uploading {operation.path_in_repo}", "done": done})
        api.preupload_lfs_files(name, [operation], free_memory=False)
        done += operation.upload_info.size
    write_json_safely(Path(request["progress"]), {"what": "Making it visible", "done": done})
    made = api.create_commit(name, operations, commit_message=_MESSAGE)
    return {"url": f"{api.endpoint}/{name}", "commit": made.oid}


def _make(api: Any, name: str, private: bool) -> None:
    """Make the repository; one that is there may not be public where the plan says private."""
    from huggingface_hub.errors import RepositoryNotFoundError

    try:
        there = api.model_info(name)
    except RepositoryNotFoundError:
        api.create_repo(name, private=private)
        return
    if private and not there.private:
        raise ExportError(f"{name} is on the Hub already, and public: everybody would see what is "
                          "pushed.", "Take another name, or push it as public.")


@contextmanager
def told(name: str) -> Iterator[None]:
    """What the Hub's client raises, as a sentence. Raises ExportError; the token is in none."""
    import httpx2
    from huggingface_hub import errors

    owner = name.partition("/")[0]
    try:
        yield
    except errors.HfHubHTTPError as error:
        code = error.response.status_code
        if code == 401:
            raise ExportError("The Hub does not know the token.", HOW_TO) from None
        if code == 403:
            raise ExportError(f"The token may not write to {owner} on the Hub.",
                              f"Take your own name there, or a token of {owner} with write "
                              "access.") from None
        if code == 404:
            raise ExportError(f"There is no {name} on the Hub that the token may write to.",
                              "Check the name, and that the token has write access.") from None
        if code >= 500 or code == 429:
            raise ExportError(f"The Hub is not answering (HTTP {code}).",
                              "Push again later: what has arrived is not sent twice.") from None
        raise ExportError(f"The Hub refused the upload (HTTP {code}).",
                          "Check the name, and the free space of your account.") from None
    except (httpx2.TransportError, errors.OfflineModeIsEnabled):
        raise ExportError("The Hugging Face Hub cannot be reached.",
                          "Connect to the internet, and push again.") from None
    except ValueError as error:  # of the front matter of a card that the person has changed
        raise ExportError(f"The Hub does not take README.md: {error}",
                          "Correct what stands between its lines ---.") from None
    except RuntimeError as error:  # of a file, after the client has tried several times
        raise ExportError(f"The upload broke off: {error}",
                          "Push again: what has arrived already is not sent twice.") from None


if __name__ == "__main__":
    main(Path(sys.argv[1]))
