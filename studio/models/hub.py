"""Models from the Hugging Face Hub: what to fetch, how far it is, and what went wrong, in words.

Files land in the Hub's own cache, which other programs share. Only safetensors, JSON, and
tokenizer files are fetched; a repository's Python code only where the recipe trusts it.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from studio.errors import ModelError, Stopped
from studio.files import require_free_bytes
from studio.models.folder import (
    ModelFolder,
    check_model_folder,
    check_remote_code,
    read_config,
    refuse_without_safetensors,
    weight_files,
)
from studio.progress import Progress, ShouldStop, Step, never, silent
from studio.settings import Settings

LOOK_UP_SECONDS = 5.0
_WANTED = ["*.safetensors", "*.json", "*.model", "*.txt", "*.jinja", "*.tiktoken"]
# Sub-folders hold other forms of the same weights (onnx, original); consolidated* repeats them.
_UNWANTED = ["*/*", "consolidated*", "adapter_*"]
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}(/[A-Za-z0-9_][\w.-]{0,95})?")


class HubUnreachable(ModelError):
    """No connection to the Hub, or it is not answering."""


def is_hub_id(source: str) -> bool:
    """True for `gpt2` and `Qwen/Qwen3-0.6B`; a path has other characters or more parts."""
    return bool(_HUB_ID.fullmatch(source)) and ".." not in source


def fetch_model(
    source: str, settings: Settings, *, revision: str | None = None,
    trust_remote_code: bool = False, progress: Progress = silent, stop: ShouldStop = never,
    endpoint: str | None = None,
) -> ModelFolder:
    """The model `source` from the Hub, or from the Hub's cache when there is no connection.

    Raises ModelError (missing, gated, unsafe, offline), DiskError, Stopped.
    """
    if settings.offline:
        path = _from_cache(source, revision, "The studio is offline")
    else:
        try:
            path = _download(source, settings, revision, trust_remote_code, progress, stop,
                             endpoint)
        except HubUnreachable as error:
            path = _from_cache(source, revision, error.message.rstrip("."))
    check_model_folder(path, trust_remote_code=trust_remote_code)
    return ModelFolder(path, source.split("/")[-1], source, path.name)


def _download(
    source: str, settings: Settings, revision: str | None, trust_remote_code: bool,
    progress: Progress, stop: ShouldStop, endpoint: str | None,
) -> Path:
    from huggingface_hub import HfApi, snapshot_download

    token = settings.hub_token  # None: the login that `hf auth login` stored, if any
    progress(Step(f"Looking up {source} on the Hub"))
    with in_words(source, revision):
        info = HfApi(endpoint=endpoint, token=token).model_info(
            source, revision=revision, timeout=LOOK_UP_SECONDS, files_metadata=True
        )
    sizes = {file.rfilename: file.size or 0 for file in info.siblings or []}
    if not any(name.endswith(".safetensors") and "/" not in name for name in sizes):
        refuse_without_safetensors(source, list(sizes))
    commit = info.sha or revision or "main"
    config = read_config(_config_file(source, settings, commit, endpoint))
    check_remote_code(config, source, trust_remote_code)
    wanted = [*_WANTED, "*.py"] if trust_remote_code else _WANTED
    _require_room(source, commit, sizes, wanted)
    with in_words(source, revision):
        # By the name of the revision, not by commit: only that leaves a reference in the cache,
        # by which the model is found again without a network.
        return Path(snapshot_download(
            source, revision=revision, allow_patterns=wanted, ignore_patterns=_UNWANTED,
            token=token, endpoint=endpoint,
            tqdm_class=progress_bar_class(f"Downloading {source}", progress, stop),
        ))


def _require_room(source: str, commit: str, sizes: dict[str, int], wanted: list[str]) -> None:
    from huggingface_hub import constants, try_to_load_from_cache
    from huggingface_hub.utils import filter_repo_objects

    names = filter_repo_objects(list(sizes), allow_patterns=wanted, ignore_patterns=_UNWANTED)
    missing = [name for name in names
               if not isinstance(try_to_load_from_cache(source, name, revision=commit), str)]
    require_free_bytes(Path(constants.HF_HUB_CACHE), sum(sizes[name] for name in missing),
                       f"Downloading {source}")


def fetch_config(
    source: str, settings: Settings, revision: str | None, *, endpoint: str | None = None
) -> Path:
    """config.json of a model on the Hub and nothing else; from the cache when unreachable."""
    if not settings.offline:
        try:
            return _config_file(source, settings, revision, endpoint)
        except HubUnreachable as error:
            return _from_cache(source, revision, error.message.rstrip("."), ["config.json"]
                               ) / "config.json"
    return _from_cache(source, revision, "The studio is offline", ["config.json"]) / "config.json"


def _config_file(
    source: str, settings: Settings, revision: str | None, endpoint: str | None
) -> Path:
    from huggingface_hub import hf_hub_download

    with in_words(source, revision):
        return Path(hf_hub_download(
            source, "config.json", revision=revision, token=settings.hub_token,
            endpoint=endpoint, etag_timeout=LOOK_UP_SECONDS, tqdm_class=None,
        ))


def _from_cache(
    source: str, revision: str | None, why: str, patterns: list[str] | None = None
) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    path: Path | None
    try:
        path = Path(snapshot_download(
            source, revision=revision, local_files_only=True,
            allow_patterns=patterns or _WANTED, ignore_patterns=_UNWANTED,
        ))
    except LocalEntryNotFoundError:
        path = None
    # A cache that holds only config.json (from looking at the shape) is not a model yet.
    whole = path is not None and (patterns is not None or bool(weight_files(path)))
    if path is None or not whole or not (path / "config.json").is_file():
        raise ModelError(
            f"{why}, and {source} is not on this PC yet (no folder of that name either).",
            "Connect to the internet once to fetch it, choose a model folder on this PC, or take "
            "the starter model.",
        )
    return path


@contextmanager
def in_words(source: str, revision: str | None) -> Iterator[None]:
    """Turns what the Hub's client raises into sentences. Raises ModelError, HubUnreachable."""
    import httpx2
    from huggingface_hub import errors

    try:
        yield
    except errors.GatedRepoError:
        raise ModelError(
            f"{source} is gated: its author wants to be asked first.",
            f"Accept its terms at https://huggingface.co/{source} and set HF_TOKEN to your token.",
        ) from None
    except errors.RevisionNotFoundError:
        raise ModelError(f"{source} has no revision {revision!r}.",
                         "Leave model.revision empty for the newest.") from None
    except errors.RepositoryNotFoundError:
        raise ModelError(
            f"There is no model {source} on the Hub, and no folder of that name on this PC.",
            "Check the spelling; for a private model set HF_TOKEN to your token.",
        ) from None
    except errors.EntryNotFoundError as error:
        if isinstance(error, errors.LocalEntryNotFoundError):
            raise HubUnreachable("The Hugging Face Hub cannot be reached.") from None
        raise ModelError(f"{source} has no config.json, so it is not a Transformers model.",
                         "Choose a repository with config.json and *.safetensors.") from None
    except (httpx2.TransportError, errors.OfflineModeIsEnabled):
        raise HubUnreachable("The Hugging Face Hub cannot be reached.") from None
    except errors.HfHubHTTPError as error:
        code = error.response.status_code
        if code >= 500 or code == 429:
            raise HubUnreachable(f"The Hugging Face Hub is not answering (HTTP {code}).") from None
        raise ModelError(f"The Hub refused {source} (HTTP {code}).",
                         "Check the name, and HF_TOKEN if the model is private.") from None
    except errors.HFValidationError:
        raise ModelError(f"{source!r} is neither a folder on this PC nor a Hub id.",
                         "A Hub id looks like Qwen/Qwen3-0.6B.") from None


def progress_bar_class(what: str, progress: Progress, stop: ShouldStop) -> type[Any]:
    """A tqdm class that reports bytes to `progress` and raises Stopped when asked to.

    The Hub's client makes several bars: those counting bytes (received and written) share one
    total, the other counts files and stays silent.
    """
    import io

    from tqdm.std import tqdm  # type: ignore[import-untyped]

    lock = threading.Lock()
    most = [0.0]

    class Bar(tqdm):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            self.counts_bytes = kwargs.get("unit") == "B"
            super().__init__(*args, **{**kwargs, "file": io.StringIO(), "disable": False})

        def update(self, n: float | None = 1) -> bool | None:
            if stop():
                raise Stopped("The download was stopped.", "Start it again to go on from there.")
            with lock:
                moved = super().update(n)
                if self.counts_bytes and self.total:
                    most[0] = max(most[0], float(self.n))
                    progress(Step(what, most[0], float(self.total), "bytes"))
            return moved

        def display(self, *args: Any, **kwargs: Any) -> None:
            """Nothing is drawn here; whoever passed `progress` draws."""

    return Bar
