"""The base as a stranger finds it: its id on the Hub and its licence, never a path of this PC.

Reads what lies on this PC; the Hub is asked for nothing but the licence, and only when online.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from studio.adapters.folder import CONFIG_FILE
from studio.errors import ModelError
from studio.files import typed_path
from studio.models.folder import read_config
from studio.models.hub import LOOK_UP_SECONDS, in_words, is_hub_id
from studio.models.source import find_on_this_pc
from studio.models.starter import ORIGIN_FILE, STARTER_HUB_ID
from studio.recipe import Model
from studio.recipe.base import STARTER

if TYPE_CHECKING:
    from studio.export.origin import Origin
    from studio.settings import Settings

LICENSE_NAMES = ("LICENSE*", "LICENCE*", "NOTICE*", "USE_POLICY*")
"""Files of a base that go along with what is made of it."""
_CACHED = re.compile(r"models--(?P<owner>.+?)--(?P<name>.+?)/snapshots/(?P<commit>[0-9a-f]{40})")
"""How the Hub's cache names the folder of a model; one without an owner has a name only."""
_STARTER_NOTE = ("The base was prepared from a 4-bit copy of {id}, so its weights differ from the "
                 "published ones by that rounding.")


@dataclass(frozen=True)
class SharedBase:
    """`hub_id` is None for a model that only this PC has; it then goes by its folder's `name`.

    `license` is an identifier such as apache-2.0, None where nobody says; `note` is a sentence
    that whoever uses the base elsewhere should know, or empty.
    """

    name: str
    hub_id: str | None = None
    revision: str | None = None
    license: str | None = None
    note: str = ""

    @property
    def reference(self) -> str:
        """What loads it: the Hub id, or the name of a folder that must be got from its owner."""
        return self.hub_id or self.name

    @property
    def link(self) -> str:
        """In Markdown."""
        return f"[{self.hub_id}](https://huggingface.co/{self.hub_id})" if self.hub_id \
            else f"`{self.name}`"


def shared_base(origin: Origin, settings: Settings) -> SharedBase:
    """The base of `origin`. A base that is not on this PC any more is named all the same."""
    folder = _on_this_pc(origin, settings)
    if _is_starter(origin, folder):
        return _starter(folder)
    given = typed_path(origin.model.source)
    if not (given.is_absolute() or given.is_dir()) and is_hub_id(origin.model.source):
        source = origin.model.source
        return SharedBase(source.split("/")[-1], source, _revision(origin),
                          _license(folder, source, settings))
    cached = _CACHED.search(given.as_posix())
    if cached is not None:
        hub_id = f"{cached['owner']}/{cached['name']}"
        return SharedBase(cached["name"], hub_id, cached["commit"],
                          _license(folder, hub_id, settings))
    return SharedBase(origin.base_to_show, license=_license(folder, None, settings))


def license_files(model: Model, settings: Settings) -> list[Path]:
    """The licence texts that lie beside the base on this PC."""
    found = find_on_this_pc(model, settings)
    if found is None:
        return []
    return sorted({path for name in LICENSE_NAMES for path in found.path.glob(name)
                   if path.is_file()})


def starter_base(origin: Origin, settings: Settings) -> SharedBase | None:
    """The same where it is the starter model, None for any other; asks nobody on the network."""
    folder = _on_this_pc(origin, settings)
    return _starter(folder) if _is_starter(origin, folder) else None


def _on_this_pc(origin: Origin, settings: Settings) -> Path | None:
    found = find_on_this_pc(origin.model, settings)
    return found.path if found is not None else None


def _is_starter(origin: Origin, folder: Path | None) -> bool:
    return origin.model.source == STARTER or (
        folder is not None and (folder / ORIGIN_FILE).is_file())


def _starter(folder: Path | None) -> SharedBase:
    origin = {} if folder is None else read_config(folder / ORIGIN_FILE)
    from_hub = origin.get("source") == STARTER_HUB_ID
    return SharedBase(
        STARTER_HUB_ID.split("/")[-1], STARTER_HUB_ID, origin.get("revision"), "apache-2.0",
        "" if from_hub or folder is None else _STARTER_NOTE.format(id=STARTER_HUB_ID))


def _revision(origin: Origin) -> str | None:
    """The commit that the adapter was trained on, else what the recipe asks for."""
    file = origin.path / CONFIG_FILE
    if file.is_file():
        try:
            revision = json.loads(file.read_text(encoding="utf-8")).get("revision")
        except ValueError:
            revision = None
        if revision:
            return str(revision)
    return origin.model.revision


def _license(folder: Path | None, hub_id: str | None, settings: Settings) -> str | None:
    """As the model's card beside the weights says it, else as its page on the Hub does."""
    found = None if folder is None else _license_in(folder / "README.md")
    if found is not None or hub_id is None or settings.offline:
        return found
    from huggingface_hub import HfApi

    try:
        with in_words(hub_id, None):
            info = HfApi(token=settings.hub_token).model_info(hub_id, timeout=LOOK_UP_SECONDS)
    except ModelError:
        return None  # the card then says that it is not known
    return _one_license(info.card_data.get("license") if info.card_data else None)


def _license_in(card: Path) -> str | None:
    if not card.is_file():
        return None
    import yaml
    from huggingface_hub import ModelCard

    try:
        data = ModelCard(card.read_text(encoding="utf-8"), ignore_metadata_errors=True).data
    except (ValueError, UnicodeDecodeError, yaml.YAMLError):
        return None
    return _one_license(data.get("license"))


def _one_license(found: object) -> str | None:
    if isinstance(found, list):
        found = found[0] if found else None
    return str(found) if found else None
