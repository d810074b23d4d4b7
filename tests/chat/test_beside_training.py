"""Training and chat in one program at the same time: real ones, with the tiny model.

What fits is computed side by side and changes nothing of the other; what does not is refused before
anything is loaded, or makes room.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from studio.arbiter import SHARED_SHARE, Arbiter, Holder
from studio.chat.desk import ChatDesk
from studio.chat.need import chat_need
from studio.chat.sampling import Sampling
from studio.chat.session import Column
from studio.errors import BusyError, ModelError
from studio.recipe import Model, Recipe
from studio.runs import Run
from studio.settings import Settings
from studio.training import job
from studio.training.footprint import Footprint
from studio.training.job import JobRunner
from tests.chat.alone import GREEDY, SHORT, answer_alone, greedy_ids
from tests.training.conftest import tiny_recipe, write_orders

PLENTY = 1_000_000_000_000
ENDLESS = Sampling(temperature=1.5, top_k=0, top_p=1, max_new_tokens=400)


class Pc:
    """A program with a device whose room a test decides."""

    def __init__(self, settings: Settings) -> None:
        self.room_bytes = PLENTY
        self.arbiter = Arbiter(lambda: self.room_bytes)
        self.jobs = JobRunner(settings, self.arbiter)
        self.desk = ChatDesk(settings, self.arbiter)

    def begun(self, recipe: Recipe, name: str) -> Run:
        run = self.jobs.start(recipe, name)
        wait_until(lambda: run.story().step >= 1, self.jobs)
        return run


def wait_until(holds: Callable[[], bool], jobs: JobRunner) -> None:
    while not holds():
        assert jobs.active is not None, ("the run ended before that", jobs.trouble)
        time.sleep(0.01)


@pytest.fixture
def pc(settings: Settings) -> Iterator[Pc]:
    found = Pc(settings)
    yield found
    found.jobs.cancel()
    found.jobs.wait()
    found.desk.close()


@pytest.fixture
def model(tiny_model: Path) -> Model:
    return Model(source=str(tiny_model), dtype="float32")


@pytest.fixture
def recipe(tiny_model: Path, tmp_path: Path) -> Callable[..., Recipe]:
    # Dropout draws random numbers at every step: somebody else's draws would show in the losses.
    orders = write_orders(tmp_path / "orders.jsonl")
    return lambda **values: tiny_recipe(tiny_model, orders, adapter__dropout=0.2, **values)


def weights_of(run: Run) -> bytes:
    return (run.adapter_path / "adapter_model.safetensors").read_bytes()


def losses(run: Run) -> list[float]:
    return [point.loss for point in run.story().points]


def test_a_run_learns_the_same_to_the_bit_while_a_chat_loads_answers_and_leaves(
    pc: Pc, recipe: Callable[..., Recipe], model: Model, adapters: dict[str, Path]
) -> None:
    expected = {name: answer_alone(Path(model.source), adapters.get(name), SHORT)
                for name in ("base", "one", "dora")}
    alone = pc.jobs.start(recipe(training__max_steps=40), "alone")
    pc.jobs.wait()
    beside = pc.begun(recipe(training__max_steps=40), "beside")
    answered = 0
    while pc.jobs.active is not None:
        for names in (["one"], ["one", "dora"]):
            columns = [Column("base"), *(Column(name, adapters[name]) for name in names)]
            found = greedy_ids(pc.desk.open(model, columns))
            if pc.jobs.active is not None:
                answered += 1
            assert found == {name: expected[name] for name in ["base", *names]}
        pc.desk.close()
    pc.jobs.wait()
    assert answered >= 1, "the run was over before the chat had answered"
    assert len(losses(beside)) == 40 and losses(beside) == losses(alone)
    assert weights_of(beside) == weights_of(alone)


def test_a_run_does_not_notice_that_a_model_of_another_number_format_is_made_beside_it(
    pc: Pc, recipe: Callable[..., Recipe]
) -> None:
    """transformers sets torch's number format for all threads meanwhile: here for all steps."""
    import torch

    alone = pc.jobs.start(recipe(training__max_steps=12), "alone")
    pc.jobs.wait()
    beside = pc.begun(recipe(training__max_steps=12), "beside")
    try:
        torch.set_default_dtype(torch.bfloat16)
        pc.jobs.wait()
    finally:
        torch.set_default_dtype(torch.float32)
    assert losses(beside) == losses(alone) and weights_of(beside) == weights_of(alone)


def test_a_chat_that_does_not_fit_beside_a_run_is_refused_before_anything_is_loaded(
    pc: Pc, recipe: Callable[..., Recipe], model: Model
) -> None:
    run = pc.begun(recipe(training__max_steps=100_000), "orders")
    columns = [Column("base")]
    together = pc.desk.beside_others(model, columns)
    assert together is not None and together.fits and pc.desk.session is None
    pc.room_bytes = sum(size for _, size in together.needs)
    with pytest.raises(BusyError, match=(
            r"run orders is using this PC right now, and both do not fit .* training run orders "
            r"takes up to .* and the chat takes up to .* are there for both")) as caught:
        pc.desk.open(model, columns)
    assert "Stop it on the Train tab" in caught.value.hint and "fewer columns" in caught.value.hint
    assert pc.desk.session is None and not pc.desk.has_device
    pc.room_bytes *= 2
    session = pc.desk.open(model, columns)
    pc.room_bytes = 1  # what is open stays, but it does not grow
    with pytest.raises(BusyError, match="do not fit"):
        pc.desk.open(model, [*columns, Column("base again")])
    assert pc.desk.session is session and [one.name for one in session.columns] == ["base"]
    assert pc.jobs.active is run


def test_an_answer_that_would_outgrow_the_room_beside_a_run_is_refused_before_it_is_computed(
    pc: Pc, settings: Settings, tiny_model: Path, tmp_path: Path
) -> None:
    """Of whoever else is at work only its need counts, so that here nobody computes."""
    base = shutil.copytree(tiny_model, tmp_path / "patient")
    config = json.loads((base / "config.json").read_text(encoding="utf-8"))
    (base / "config.json").write_text(
        json.dumps(config | {"max_position_embeddings": 16_384}), encoding="utf-8")
    model, columns = Model(source=str(base), dtype="float32"), [Column("base")]
    usual = chat_need(model, columns, settings) or 0
    long = chat_need(model, columns, settings, 12_000) or 0
    assert long > usual and chat_need(model, columns, settings, 99_999) == chat_need(
        model, columns, settings, 16_384)
    pc.arbiter.acquire(Holder("The run orders", "Stop it.", need=lambda: 0))
    pc.room_bytes = round((usual + long) / 2 / SHARED_SHARE)
    lengthy, short = Sampling(max_new_tokens=12_000), Sampling(max_new_tokens=2)
    with pytest.raises(BusyError, match="both do not fit"):
        next(pc.desk.answer(model, columns, {"base": SHORT}, lengthy))
    assert pc.desk.session is None, "told before anything was loaded"
    list(pc.desk.answer(model, columns, {"base": SHORT}, short))
    with pytest.raises(BusyError, match="both do not fit") as caught:
        pc.desk.ask(pc.desk.session, {"base": SHORT}, lengthy)  # type: ignore[arg-type]
    assert re.search(r"is 12,0\d\d tokens long: begin a new one, or let answers be shorter",
                     caught.value.hint)
    pc.room_bytes = PLENTY
    next(pc.desk.answer(model, columns, {"base": SHORT}, lengthy))
    # Whoever else comes is told of the long conversation, and of a short one when it is shorter.
    assert chat_held(pc) == pytest.approx(long, rel=0.01)
    list(pc.desk.answer(model, columns, {"base": SHORT}, short))
    assert chat_held(pc) == usual


def chat_held(pc: Pc) -> int:
    found = next(one for one in pc.arbiter._holders if one.what == "The chat").need_bytes()
    assert found is not None
    return found


def test_measuring_an_answer_that_runs_out_of_memory_is_a_sentence(
    pc: Pc, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch
    from transformers import LlamaModel

    def limited(*args: Any, **options: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    session = pc.desk.open(model, [Column("base")])
    ids = greedy_ids(session)
    with monkeypatch.context() as meanwhile, \
            pytest.raises(ModelError, match="memory was not enough for measuring this answer"):
        meanwhile.setattr(LlamaModel, "forward", limited)
        session.scores({"base": SHORT}, ids)
    assert pc.desk.open(model, [Column("base")]).scores({"base": SHORT}, ids)["base"].texts


@pytest.mark.parametrize("fits", [True, False])
def test_an_idle_chat_stays_where_a_beginning_run_fits_beside_it(
    pc: Pc, recipe: Callable[..., Recipe], model: Model, fits: bool
) -> None:
    session = pc.desk.open(model, [Column("base")])
    pc.room_bytes = PLENTY if fits else 1
    pc.begun(recipe(training__max_steps=100_000), "orders")
    assert pc.desk.session is (session if fits else None) and pc.desk.has_device is fits
    if fits:
        assert greedy_ids(session)["base"] == answer_alone(Path(model.source), None, SHORT)


def runs_out_once(monkeypatch: pytest.MonkeyPatch, run_name: str, jobs: JobRunner) -> None:
    """In the third step of that run, as torch would say it."""
    import torch
    from transformers import LlamaModel

    real, told = LlamaModel.forward, []

    def limited(model: Any, *args: Any, **options: Any) -> Any:
        active = jobs.active
        if model.training and active is not None and active.name == run_name and not told \
                and active.story().step >= 2:
            told.append(True)
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return real(model, *args, **options)

    monkeypatch.setattr(LlamaModel, "forward", limited)


@pytest.mark.parametrize("is_answering", [False, True])
def test_where_memory_runs_out_the_chat_leaves_before_the_run_gives_anything_up(
    pc: Pc, recipe: Callable[..., Recipe], model: Model, is_answering: bool,
    monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = pc.jobs.start(recipe(training__max_steps=6), "alone")
    pc.jobs.wait()
    runs_out_once(monkeypatch, "beside", pc.jobs)
    columns = [Column("base")]
    pc.desk.open(model, columns)
    answer = pc.desk.answer(model, columns, {"base": SHORT}, ENDLESS)
    if is_answering:
        next(answer)
    # The chat is at work already: the run begins beside it, and waits for the answer at step 3.
    beside = pc.jobs.start(recipe(training__max_steps=6), "beside")
    if is_answering:
        list(answer)
    pc.jobs.wait()
    assert beside.story().state == "done" and beside.story().adapted == {}
    assert losses(beside) == losses(alone) and weights_of(beside) == weights_of(alone)
    [told] = [one["text"] for one in beside.events() if "ran out" in one.get("text", "")]
    assert told.startswith("Memory ran out in step 3. The chat shared it and was unloaded")
    assert pc.desk.session is None and not pc.desk.has_device


def test_the_chat_leaves_too_where_the_base_of_a_run_does_not_fit_beside_it(
    pc: Pc, recipe: Callable[..., Recipe], model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from studio.models import loading

    pc.desk.open(model, [Column("base")])
    real = loading.load_base

    def limited(*args: Any, **options: Any) -> Any:
        if pc.desk.session is not None:
            raise ModelError("It does not fit.", "") from torch.OutOfMemoryError("CUDA: no.")
        return real(*args, **options)

    monkeypatch.setattr(loading, "load_base", limited)
    run = pc.jobs.start(recipe(training__max_steps=2), "orders")
    pc.jobs.wait()
    assert run.story().state == "done" and pc.desk.session is None
    assert "Memory ran out while the model was loaded. The chat" in "".join(run.story().log_tail)


def test_a_run_whose_memory_ran_out_waits_for_an_answer_only_so_long_and_then_shares_no_more(
    pc: Pc, recipe: Callable[..., Recipe], model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job, "ROOM_SECONDS", 0.3)
    runs_out_once(monkeypatch, "orders", pc.jobs)
    columns = [Column("base")]
    pc.desk.open(model, columns)
    with pc.desk.session.lent(set()):  # type: ignore[union-attr]
        run = pc.jobs.start(recipe(training__max_steps=100_000), "orders")
        wait_until(lambda: bool(run.story().adapted) and run.story().step >= 4, pc.jobs)
    assert run.story().adapted["training.batch_size"] == 2 and pc.desk.session is not None
    pc.desk.close()
    with pytest.raises(BusyError, match=r"The training run orders is using this PC right now\. "):
        pc.desk.open(model, columns)


def test_an_answer_whose_memory_runs_out_is_a_sentence_and_the_run_goes_on(
    pc: Pc, recipe: Callable[..., Recipe], model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch
    from transformers import LlamaModel

    real, is_short, held = LlamaModel.forward, [True], []

    def limited(model: Any, *args: Any, **options: Any) -> Any:
        output = real(model, *args, **options)
        if not model.training and is_short[0]:
            held.append(weakref.ref(output.last_hidden_state))
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return output

    run = pc.begun(recipe(training__max_steps=100_000), "orders")
    monkeypatch.setattr(LlamaModel, "forward", limited)
    columns = [Column("base")]
    with pytest.raises(ModelError, match="memory was not enough for this answer") as caught:
        list(pc.desk.answer(model, columns, {"base": SHORT}, GREEDY))
    assert "at work" in caught.value.hint and held[0]() is None, "what it computed is still held"
    is_short[0] = False
    assert greedy_ids(pc.desk.open(model, columns))["base"]
    step = run.story().step
    wait_until(lambda: run.story().step > step, pc.jobs)


def test_what_cannot_be_foretold_is_alone(
    settings: Settings, recipe: Callable[..., Recipe], model: Model, tmp_path: Path
) -> None:
    gone = str(tmp_path / "gone")
    assert chat_need(model, [Column("base")], settings) > 1e6  # type: ignore[operator]
    assert chat_need(Model(source=gone), [Column("base")], settings) is None
    assert chat_need(model, [Column("a", tmp_path)], settings) is None
    run = Footprint(recipe(), settings, isolated=False)
    assert run() > 1e6  # type: ignore[operator]
    run.ran_out = True
    assert run() is None
    assert Footprint(recipe(model__source=gone), settings, isolated=False)() is None


_UNLOADING = """
import json, sys, threading
from pathlib import Path
from studio.arbiter import Arbiter
from studio.chat.desk import ChatDesk
from studio.chat.sampling import Sampling
from studio.chat.session import Column
from studio.hardware.resident import resident_bytes
from studio.recipe import Model
from studio.settings import Settings

home, small, large = map(Path, sys.argv[1:])
desk = ChatDesk(Settings(home=home, offline=True), Arbiter())
ask = {"base": [{"role": "user", "content": "What is the capital of France?"}]}

def held(folder):
    model = Model(source=str(folder), dtype="float32")
    list(desk.answer(model, [Column("base")], ask, Sampling(max_new_tokens=8)))
    loaded = resident_bytes()
    desk.close()
    return loaded, resident_bytes()

held(small)  # so that every library is there
before = resident_bytes()
print(json.dumps([before, *held(large), *held(large)]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the C library keeps what is freed")
def test_unloading_gives_the_memory_back_to_the_system(
    tmp_path: Path, tiny_model: Path, settings: Settings
) -> None:
    """Measured in a process of its own, with a model of a size that no library's cache has."""
    from tests.tiny import make_tiny_model

    large = make_tiny_model(tmp_path / "large", hidden=1024, layers=2)
    weights = (large / "model.safetensors").stat().st_size
    said = subprocess.run(
        [sys.executable, "-c", _UNLOADING, str(settings.home), str(tiny_model), str(large)],
        capture_output=True, text=True, check=True, timeout=300).stdout
    before, *told = json.loads(said.splitlines()[-1])
    loaded, unloaded = told[0::2], told[1::2]
    assert weights > 60e6
    assert all(size - before > 0.9 * weights for size in loaded)
    assert all(size - before < 0.15 * weights for size in unloaded), (before, told, weights)


_BOTH = """
import json, sys, threading, time
from pathlib import Path
from studio.chat.sampling import Sampling
from studio.chat.session import Column
from studio.hardware.room import held_in_main_memory
from studio.recipe import Model, load_recipe
from studio.settings import Settings
from studio.ui.studio import Studio

home, recipe = Path(sys.argv[1]), load_recipe(sys.argv[2])
studio = Studio(Settings(home=home, offline=True))
run = studio.jobs.start(recipe, "beside")
while run.story().step < 2:
    assert studio.jobs.active is not None, run.story().error
    time.sleep(0.1)
columns = [Column("base"), Column("too")]
together = studio.chat.beside_others(Model(), columns)
peak, is_over = 0, threading.Event()

def watch():
    global peak
    while not is_over.wait(0.02):
        peak = max(peak, held_in_main_memory())

watching = threading.Thread(target=watch)
watching.start()
ask = [{"role": "user", "content": "lighthouse " * 900}]
list(studio.chat.answer(Model(), columns, {"base": ask, "too": ask}, Sampling(max_new_tokens=8)))
reached = run.story().step
while run.story().step < reached + 2:
    time.sleep(0.1)
is_over.set()
watching.join()
studio.jobs.cancel()
studio.jobs.wait()
studio.close()
print(json.dumps([peak, together.fits, dict(together.needs)]))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="other systems count file pages, too")
def test_the_starter_trained_and_asked_at_once_takes_no_more_than_was_told(
    tmp_path: Path, starter_home: Path
) -> None:
    from studio.recipe import save_recipe

    recipe = Recipe().with_values({
        "data.max_length": 256, "data.eval_fraction": 0.0, "training.batch_size": 2,
        "training.gradient_accumulation": 1, "training.max_steps": 100_000,
        "training.save_steps": 0, "monitor.sample_records": 0, "monitor.forgetting": False})
    save_recipe(recipe, tmp_path / "recipe.yaml")
    home = tmp_path / "home"
    home.mkdir()
    (home / "models").symlink_to(starter_home / "models", target_is_directory=True)
    said = subprocess.run(
        [sys.executable, "-c", _BOTH, str(home), str(tmp_path / "recipe.yaml")],
        capture_output=True, text=True, check=True, timeout=1200).stdout
    peak, fits, needs = json.loads(said.splitlines()[-1])
    assert fits and set(needs) == {"The training run beside", "The chat"}
    assert 0.4 * sum(needs.values()) < peak < sum(needs.values()), (peak, needs)
