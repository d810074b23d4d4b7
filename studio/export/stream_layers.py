"""What an adapter of any kind changes in the files of its base, computed by PEFT's own layers.

To merge a module, its weights are read from the files into a model that has no memory of its own
(`stream_adapter`), PEFT's layer merges them, and the place is emptied again. Knows nothing of the
files that are written.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from studio.adapters.folder import AdapterFolder, require_fit
from studio.export.stored import FLOAT_DTYPES, StoredTensor
from studio.export.stream import CannotStream
from studio.export.stream_adapter import (
    Place,
    base_without_memory,
    merged_into,
    places,
    put_adapter_on,
    tensors_of,
    trained_copy,
    unloaded,
    wrapped_modules,
)
from studio.export.stream_conversion import Conversion
from studio.export.stream_files import Entry, like, read_tensor
from studio.export.stream_names import stored_names
from studio.export.vocabulary import resize_like
from studio.models.folder import ModelFolder
from studio.models.loading import require_all_weights

if TYPE_CHECKING:
    import torch


@dataclass
class _Group:
    """Wrapped modules by their paths that share a weight and are merged together; mostly one."""

    modules: dict[str, Any] = field(default_factory=dict)
    places: list[Place] = field(default_factory=list)


class LayerChanges:
    """The changes (`stream.Changes`) that PEFT makes."""

    def __init__(self, base: ModelFolder, adapter: AdapterFolder, dtype_name: str,
                 stored: Mapping[str, StoredTensor]) -> None:
        """Raises CannotStream, or ModelError where the adapter does not fit or weights lack."""
        model = base_without_memory(base, dtype_name)
        tokens = resize_like(model, adapter)
        require_fit(adapter, model, base.name)
        self._stored = stored
        self._names = stored_names(model, stored)
        # PEFT changes the model; Transformers' rules are asked about one as it is.
        self._plain = deepcopy(model) if self._names.converted else model
        self._files_of: dict[str, list[str]] = defaultdict(list)
        for name, parameter in self._names.parameter_of.items():
            self._files_of[parameter].append(name)
        self._tied: dict[str, str] = dict(getattr(model, "all_tied_weights_keys", None) or {})
        self._places = places(model)
        put_adapter_on(model, adapter)
        self._wrapped = dict(wrapped_modules(model))
        self._group_of = self._groups()
        self._merged: dict[str, torch.Tensor] = {}
        self._pieces: dict[str, torch.Tensor] = {}
        apart = [target for target in self._tied if self._comes_apart(target)]
        self.settings: dict[str, Any] = {"tie_word_embeddings": False} if apart else {}
        if tokens is not None:
            self.settings["vocab_size"] = tokens
        self.dropped = self._left_out(apart)
        self.added = tuple(self._new_entry(target) for target in apart
                           if target not in self._files_of)
        self._require_readable(base)

    def changes(self, name: str) -> bool:
        parameter = self._names.parameter_of[name]
        conversion = self._names.converted.get(parameter)
        return any(map(self._is_changed, conversion.parameters if conversion else [parameter]))

    def entry(self, stored: StoredTensor) -> Entry:
        parameter = self._names.parameter_of[stored.name]
        if parameter in self._names.converted or not self._is_changed(parameter):
            return like(stored)
        return like(stored, shape=self._shape_of(parameter))

    def merged(self, name: str) -> torch.Tensor:
        """Rounded once, into the format that the base is stored in."""
        import torch

        parameter = self._names.parameter_of.get(name, name)
        conversion = self._names.converted.get(parameter)
        if conversion is None:
            found = self._merged_parameter(parameter)
        else:
            if name not in self._pieces:
                self._pieces.update(conversion.parted(self._plain, {
                    one: self._merged_parameter(one) for one in conversion.parameters}))
            found = self._pieces.pop(name)
        return found.to(getattr(torch, FLOAT_DTYPES[self._stored_of(parameter).dtype]))

    def _is_changed(self, parameter: str) -> bool:
        return parameter in self._group_of or not self._places[parameter].tensor.is_meta

    def _merged_parameter(self, parameter: str) -> torch.Tensor:
        if parameter not in self._merged:
            self._merge_with(parameter)
        return self._merged.pop(parameter)

    def _merge_with(self, parameter: str) -> None:
        """Merge a parameter and whatever else PEFT's layers merge in the same stroke."""
        group = self._group_of.get(parameter)
        if group is None:
            # Trained by itself, such as the bias of a norm; or as it was, but tied no more.
            trained = self._places[parameter].tensor.detach()
            self._merged[parameter] = self._read(parameter) if trained.is_meta else trained
            return
        for path, wrapped in group.modules.items():
            for name, tensor in tensors_of(merged_into(wrapped)).items():
                if tensor.is_meta:
                    self._places[f"{path}.{name}"].put(self._read(f"{path}.{name}"))
        after = {path: tensors_of(unloaded(wrapped)) for path, wrapped in group.modules.items()}
        written = {entry.name for entry in self.added}.union(self._files_of, self._names.converted)
        for name in [name for name, its in self._group_of.items() if its is group]:
            path = self._module_around(name)
            tensor = after[path][name[len(path) + 1:]] if path else self._places[name].tensor
            if name in written:
                self._merged[name] = tensor.detach()
        for place in group.places:
            place.make_empty()

    def _read(self, parameter: str) -> torch.Tensor:
        """As it is before the merge."""
        conversion = self._names.converted.get(parameter)
        if conversion is None:
            return read_tensor(self._stored_of(parameter))
        made = conversion.joined(self._plain, lambda name: read_tensor(self._stored[name]))
        return made[parameter]

    def _stored_of(self, parameter: str) -> StoredTensor:
        """The one tensor of the files that fills it, or the first of several; for a tied one that
        of its source."""
        for name in (parameter, self._tied.get(parameter, parameter)):
            if name in self._files_of:
                return self._stored[self._files_of[name][0]]
        raise CannotStream(f"the files have no {parameter}")

    def _groups(self) -> dict[str, _Group]:
        """The group of every parameter that lies in a wrapped module or is shared with one."""
        of_place: dict[int, _Group] = {}
        of_module: dict[str, _Group] = {}
        for name, place in self._places.items():
            path = self._module_around(name)
            if not path:
                continue
            takes_base = merged_into(self._wrapped[path]) is not None
            group = of_module.get(path) or (of_place.get(id(place)) if takes_base else None)
            group = of_module[path] = group or _Group()
            group.modules[path] = self._wrapped[path]
            if takes_base:
                of_place[id(place)] = group
                group.places.append(place)
        found = {name: of_module.get(self._module_around(name)) or of_place.get(id(place))
                 for name, place in self._places.items()}
        return {name: group for name, group in found.items() if group is not None}

    def _module_around(self, parameter: str) -> str:
        """Path of the wrapped module that a parameter of the base lies in; empty if in none."""
        path = parameter.rpartition(".")[0]
        while path and path not in self._wrapped:
            path = path.rpartition(".")[0]
        return path

    def _comes_apart(self, target: str) -> bool:
        """Whether a tied weight and its source are two after the merge."""
        return self._owner_after(target) is not self._owner_after(self._tied[target])

    def _owner_after(self, parameter: str) -> torch.Tensor:
        path = self._module_around(parameter)
        copy = trained_copy(self._wrapped[path]) if path else None
        if copy is not None:
            return tensors_of(copy)[parameter[len(path) + 1:]]
        return self._places[parameter].tensor

    def _left_out(self, apart: list[str]) -> frozenset[str]:
        """Tensors that the model has no place for, and second copies of tied ones."""
        left_out = {name for name in self._stored if name not in self._names.parameter_of}
        for target, source in self._tied.items():
            if target in apart or not {target, source} <= self._files_of.keys():
                continue
            if not self._are_equal(target, source):
                raise CannotStream("the files hold two different weights where the model has one")
            left_out.update(self._files_of[target])
        return frozenset(left_out)

    def _are_equal(self, target: str, source: str) -> bool:
        import torch

        return torch.equal(read_tensor(self._stored_of(target)),
                           read_tensor(self._stored_of(source)))

    def _new_entry(self, target: str) -> Entry:
        converted = self._names.converted
        if any(name != parameter for name, parameter in self._names.parameter_of.items()
               if parameter not in converted) or target in converted:
            raise CannotStream("the files call the weights by names of their own")
        return like(self._stored_of(target), name=target, shape=self._shape_of(target))

    def _shape_of(self, parameter: str) -> tuple[int, ...]:
        return tuple(self._places[parameter].tensor.shape)

    def _require_readable(self, base: ModelFolder) -> None:
        """Only what is stored as it is computed with can be merged piece by piece."""
        known = {*self._files_of, *self._names.converted}
        known.update(target for target, source in self._tied.items() if source in known)
        known.update(source for target, source in self._tied.items() if target in known)
        require_all_weights(base, (self._places.keys() - known) | self._in_part())
        for parameter in filter(self._is_changed, self._places):
            conversion = self._names.converted.get(parameter)
            if conversion is not None:
                self._require_undone(conversion)
            elif self._stored_of(parameter).dtype not in FLOAT_DTYPES:
                raise CannotStream(f"the files hold {parameter} in a format of its own")

    def _in_part(self) -> set[str]:
        """Parameters of which the files lack a piece, such as one of the experts."""
        wanted = {name: self._shape_of(name) for name in self._names.converted}
        shapes = {name: stored.shape for name, stored in self._stored.items()}
        return {name for name, conversion in self._names.converted.items()
                if name == conversion.parameters[0]
                and not conversion.is_complete(self._plain, shapes, wanted)}

    def _require_undone(self, conversion: Conversion) -> None:
        """What is merged after Transformers put it together must fall into the same pieces."""
        pieces = [self._stored[name] for name, _ in conversion.pieces]
        if len({piece.dtype for piece in pieces}) > 1 or pieces[0].dtype not in FLOAT_DTYPES:
            raise CannotStream(f"the files hold {pieces[0].name} in a format of its own")
        shapes = {piece.name: piece.shape for piece in pieces}
        if not conversion.is_undone(self._plain, shapes):
            raise CannotStream("the files hold the weights that the adapter changes in another "
                               "form than Transformers writes them in")
