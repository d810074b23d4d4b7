"""The line-up of the Chat tab: what can be chosen, which columns that makes, what is said of it."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from studio.adapters.blend import Mix, Part, blend
from studio.arbiter import Holder
from studio.device import pick_device
from studio.errors import ModelError, StudioError
from studio.recipe import Model, Recipe
from studio.settings import Settings
from studio.ui.adapter_shelf import Trained
from studio.ui.panels import chat_lineup_page, job_memory
from studio.ui.panels.chat_columns import (
    BASE_VALUE,
    Wish,
    all_offers,
    bases,
    columns_of,
    listed,
    no_columns,
    offers_of,
)
from studio.ui.panels.chat_lineup_page import PARTS, lineup_of, opened, page
from studio.ui.panels.chat_lineup_view import ColumnFacts, how_they_answer, status_view
from studio.ui.panels.chat_room import room_view
from studio.ui.panels.chat_sliders import chosen_numbers
from studio.ui.studio import Studio
from tests.browser.chat_runs import home_with_runs
from tests.tiny import make_tiny_model

QWEN = "Qwen/Qwen3-0.6B"


def trained(name: str, source: str = "starter", **values: Any) -> Trained:
    recipe = Recipe().with_values({"model.source": source, **values})
    return Trained(name, Path("/runs") / name / "adapter", recipe)


def with_steps(run: Trained, *steps: int) -> Trained:
    folder = run.path.parent / "checkpoints"
    return dataclasses.replace(
        run, checkpoints=tuple(folder / f"checkpoint-{step}" for step in steps))


def chosen(runs: list[Trained], *columns: str, form: Model | None = None, **wish: Any) -> Any:
    return columns_of(all_offers(runs, ()), Wish("starter", columns, **wish), form or Model())


def test_runs_and_their_checkpoints_are_offered_for_their_base() -> None:
    runs = [with_steps(trained("a"), 5, 10), trained("b", QWEN),
            trained("whole", **{"adapter.method": "none"})]
    offers = all_offers(runs, ())
    assert [(one.value, one.name) for one in offers_of(offers, "starter")] == [
        ("a", "a"), ("a/checkpoint-10", "a, step 10"), ("a/checkpoint-5", "a, step 5")]
    assert [value for _, value in bases(runs, offers, "starter")] == [
        "starter", QWEN, str(runs[2].path)]
    # Those of other bases come last; they may fit.
    assert [label for label, _ in listed(offers, "starter")] == [
        "base", "a (LoRA rank 16)", "a, step 10", "a, step 5", f"b (LoRA rank 16), of {QWEN}"]


def test_what_trained_every_weight_is_no_column_and_the_person_is_led_to_choose_it_as_the_base(
) -> None:
    whole = {"adapter.method": "none"}
    runs = [with_steps(trained("new", **whole), 5), trained("a"), trained("old", **whole),
            trained("other", QWEN, **whole)]
    assert no_columns([trained("a")], "starter") == ""
    said = no_columns(runs[2:], "starter")
    assert said == ("The run old trained every weight, so it is a model of its own and cannot be a "
                    "column over this base. To ask it, choose old (all weights trained) as the "
                    "base model.")
    said = no_columns([dataclasses.replace(runs[0], is_finished=False), *runs], "starter")
    assert "The runs new, new and old trained every weight" in said
    assert said.endswith("such as new, step 5 (all weights trained).")
    labels = [label for label, _ in bases(runs, all_offers(runs, ()), "starter")]
    assert "new, step 5 (all weights trained)" in labels


def test_a_run_without_a_result_offers_its_checkpoints_only() -> None:
    run = dataclasses.replace(with_steps(trained("a"), 5), is_finished=False)
    assert [one.name for one in all_offers([run], ())] == ["a, step 5"]


def test_columns_stand_as_chosen_and_the_base_is_loaded_as_the_first_was_trained() -> None:
    runs = [trained("a", **{"model.quantization": "8bit"}), trained("b")]
    model, columns = chosen(runs, "a", BASE_VALUE, "b", form=Model(dtype="float32"))
    assert [column.name for column in columns] == ["a", "base", "b"]
    assert columns[0].adapter_path == runs[0].path and columns[1].adapter_path is None
    assert model == runs[0].recipe.model


def test_where_nobody_is_chosen_the_base_answers_alone() -> None:
    model, columns = chosen([trained("a")], form=Model(dtype="float32"))
    assert [column.name for column in columns] == ["base"] and model.dtype == "float32"


def test_a_name_tells_which_weights_answer_and_how_much_they_count() -> None:
    runs = [with_steps(trained("base"), 5)]
    _, columns = chosen(runs, BASE_VALUE, "base", "base/checkpoint-5",
                        strengths={"base": 0.5, "base/checkpoint-5": 1, "gone": 2})
    assert [(one.name, one.strength) for one in columns] == [
        ("base", 1), ("base (run) × 0.5", 0.5), ("base, step 5", 1)]


@pytest.mark.parametrize(("columns", "strengths", "said"), [
    (["gone"], {}, "no adapter 'gone' any more"),
    (["/etc"], {}, "no adapter '/etc' any more"),
    (["a", *(f"a/checkpoint-{step}" for step in range(1, 7))], {}, "at most 6"),
    (["a"], {"a": 3.0}, "between 0 and 2"),
])
def test_what_cannot_answer_is_refused_with_the_reason(
    columns: list[str], strengths: dict[str, float], said: str
) -> None:
    runs = [with_steps(trained("a"), *range(1, 7)), trained("b", QWEN)]
    with pytest.raises(StudioError, match=said):
        chosen(runs, *columns, strengths=strengths)


def test_a_base_that_is_on_no_list_is_loaded_plainly_and_none_at_all_is_refused() -> None:
    model, _ = columns_of([], Wish("someone/model"), Model(trust_remote_code=True))
    assert model == Model(source="someone/model")
    with pytest.raises(ModelError, match="No base model"):
        columns_of([], Wish(" "), Model())


@pytest.mark.parametrize(("loading", "quantization"), [("16bit", "none"), ("8bit", "8bit"),
                                                       ("4bit", "4bit")])
def test_the_base_is_held_as_the_person_says(loading: str, quantization: str) -> None:
    model, _ = chosen([trained("a", **{"model.quantization": "8bit"})], "a", loading=loading)
    assert model.quantization == quantization
    assert (model.dtype in ("bfloat16", "float16")) == (loading == "16bit")


def test_an_adapter_that_makes_up_for_rounding_answers_on_the_rounded_base_only() -> None:
    run = trained("a", **{"adapter.init": "loftq", "model.quantization": "4bit"})
    assert chosen([run], "a")[0].quantization == "4bit"
    with pytest.raises(ModelError, match=r"LoftQ.*belongs to the 4-bit base"):
        chosen([run], "a", loading="16bit")


def test_it_is_said_who_answers_in_one_batch_and_who_in_turn() -> None:
    base, plain = ColumnFacts(BASE_VALUE, "base", True), ColumnFacts("a", "a")
    dora = ColumnFacts("<b>", "<b>", why_alone="DoRA cannot be mixed with others")
    assert how_they_answer([base]) == "Only base answers."
    assert how_they_answer([base, plain]) == "Both answer at the same time, in one batch."
    assert how_they_answer([base, plain, dora]) == (
        "base and a answer at the same time, in one batch. <b> follows "
        "(DoRA cannot be mixed with others).")
    ia3 = ColumnFacts("c", "c", why_alone="only LoRA can be mixed, and it is of the kind IA³")
    assert "The others follow one by one (DoRA" in how_they_answer([base, plain, dora, dora])
    assert "one by one (<b>: DoRA cannot be mixed with others; c: only LoRA" in how_they_answer(
        [base, plain, dora, ia3])
    assert "one after another" in how_they_answer([base, dora])
    assert "<b>" not in status_view([base, dora], ["<i>"]) and "<i>" not in status_view(
        [base], ["<i>"])


@pytest.mark.parametrize("sent", [None, "x", {}, {"chosen": 3}, {"chosen": {"a": "2"}},
                                  {"chosen": {"a": float("nan")}}, {"chosen": {"a": None}}])
def test_what_the_page_sends_for_the_sliders_may_be_anything(sent: Any) -> None:
    assert chosen_numbers(sent) == {}


@pytest.fixture(scope="module")
def home(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs, one of them with a checkpoint, and a blend of both. Read only."""
    home = tmp_path_factory.mktemp("lineup")
    runs = home_with_runs(home, tiny_model, ["first", "second"], {"second": [5]})
    blend("mix", [Part(run.path) for run in runs], Mix("cat"), Settings(home=home, offline=True))
    return home


@pytest.fixture
def studio(home: Path) -> Studio:
    return Studio(Settings(home=home, offline=True))


def values(model: Path | str = "starter", runs: list[str] | None = None) -> dict[str, Any]:
    return {"base": str(model), "runs": [BASE_VALUE] if runs is None else runs,
            "model.source": "starter"}


def sent(found: list[Any]) -> dict[str, Any]:
    return {name: part for name, part in zip((*PARTS, "seen"), found, strict=True)
            if part != gr.skip()}


def test_a_page_opens_with_the_newest_adapter_and_its_base(
    studio: Studio, tiny_model: Path
) -> None:
    opened = sent(page(studio, values(), {}))
    assert opened["base"].value == str(tiny_model)
    assert opened["runs"].value == [BASE_VALUE, "second"]
    assert [value for _, value in opened["runs"].choices] == [
        BASE_VALUE, "second", "second/checkpoint-5", "first", "blend:mix"]
    assert [row["value"] for row in opened["strengths"]["rows"]] == ["second"]
    assert "one batch" in opened["status"]
    shown = values(tiny_model, [BASE_VALUE, "second"])
    settled = sent(page(studio, shown, opened["seen"]))
    assert sent(page(studio, shown, settled["seen"])) == {}


def test_no_checkpoint_answers_unasked_while_its_run_goes_on(
    home: Path, tmp_path: Path
) -> None:
    studio = Studio(Settings(home=shutil.copytree(home, tmp_path / "copy"), offline=True))
    shutil.rmtree(studio.shelf.get("second").adapter_path)
    opened = sent(page(studio, values(), {}))
    assert [value for _, value in opened["runs"].choices][:2] == [
        BASE_VALUE, "second/checkpoint-5"]
    assert opened["runs"].value == [BASE_VALUE, "first"]


def of_page(studio: Studio, kept: Any) -> dict[str, Any]:
    found = opened(studio, values(), kept)
    return sent(found[:-1]) | ({} if found[-1] == gr.skip() else {"loading": found[-1]})


def test_what_the_browser_kept_is_chosen_again(studio: Studio, tiny_model: Path) -> None:
    kept = {"base": str(tiny_model), "loading": "16bit", "runs": ["first", "blend:mix", "gone"],
            "strengths": {"rows": [], "begin": {"first": 2}, "chosen": {"first": 0.5}}}
    found = of_page(studio, kept)
    assert found["base"].value == str(tiny_model) and found["loading"] == "16bit"
    assert found["runs"].value == ["first", "blend:mix"]
    assert found["strengths"]["begin"] == {"first": 0.5}
    assert [row["value"] for row in found["strengths"]["rows"]] == ["first", "blend:mix"]
    assert chosen_numbers(found["strengths"]) == {"first": 0.5}
    shown = {**values(tiny_model, ["first", "blend:mix"]), "loading": "16bit"}
    assert sent(page(studio, shown, found["seen"])).keys() <= {"base", "runs", "seen"}
    alone = of_page(studio, {"base": str(tiny_model), "runs": [BASE_VALUE]})
    assert alone["strengths"]["rows"] == [] and "Only base answers" in alone["status"]
    gone = of_page(studio, {"base": str(tiny_model), "runs": ["gone"]})
    assert gone["runs"].value == [BASE_VALUE, "second"]


@pytest.mark.parametrize("kept", [
    {}, {"base": ""}, {"base": 3, "runs": ["first"]}, {"loading": "7bit", "runs": "first"}])
def test_a_page_whose_browser_kept_nothing_of_use_opens_as_a_new_one(
    studio: Studio, tiny_model: Path, kept: dict[str, Any]
) -> None:
    found = of_page(studio, kept)
    assert found["base"].value == str(tiny_model) and "loading" not in found
    assert found["runs"].value == [BASE_VALUE, "second"]


def test_what_a_person_chose_stays_and_what_is_gone_is_left_out(
    studio: Studio, tiny_model: Path
) -> None:
    shown = values(tiny_model, [BASE_VALUE, "second"])
    seen = sent(page(studio, shown, sent(page(studio, values(), {}))["seen"]))["seen"]
    for runs in ([], [BASE_VALUE], ["first"], ["first", "blend:mix", BASE_VALUE]):
        found = sent(page(studio, {**shown, "runs": runs}, seen))
        assert "runs" not in found, runs
        assert sent(page(studio, {**shown, "runs": runs}, found["seen"])) == {}
    found = sent(page(studio, {**shown, "runs": ["gone", "first"]}, seen))
    assert found["runs"].value == ["first"]


def test_a_base_without_adapters_gets_its_first_one_when_it_comes(
    settings: Settings, tiny_model: Path
) -> None:
    studio = Studio(settings)
    seen = sent(page(studio, values(), {}))["seen"]
    assert sent(page(studio, values(), seen)) == {}
    typed = sent(page(studio, values(tiny_model), seen))
    home_with_runs(settings.home, tiny_model, ["new"])
    assert sent(page(studio, values(tiny_model), typed["seen"]))["runs"].value == [
        BASE_VALUE, "new"]


def test_runs_checkpoints_and_blends_answer_under_their_names(
    studio: Studio, tiny_model: Path
) -> None:
    runs = [BASE_VALUE, "second", "second/checkpoint-5", "blend:mix"]
    model, columns = lineup_of(studio, {
        **values(tiny_model, runs), "strengths": {"chosen": {"second": 0.0}}})
    assert [column.name for column in columns] == [
        "base", "second × 0", "second, step 5", "mix (blend)"]
    session = studio.chat.open(model, columns)
    assert session.in_turn == []
    studio.chat.close()


def test_on_an_8_bit_base_the_columns_answer_in_turn(studio: Studio, tiny_model: Path) -> None:
    seen = sent(page(studio, values(), {}))["seen"]
    shown = {**values(tiny_model, [BASE_VALUE, "second"]), "loading": "8bit"}
    told = sent(page(studio, shown, seen))["status"]
    assert "They answer one after another" in told and told.count("an 8-bit base") == 1
    assert "second was trained on the unquantised base, and answers on the 8-bit one" in told


def test_memory_is_told_before_anything_is_loaded_and_a_bad_choice_instead_of_it(
    studio: Studio, tiny_model: Path, tmp_path: Path
) -> None:
    told = room_view(studio, values(tiny_model, [BASE_VALUE, "second", "blend:mix"]))
    assert "takes about" in told and "3 columns" in told and "2 adapters" in told
    assert "no adapter" in room_view(studio, values(tiny_model, ["gone"]))
    assert "no model folder" in room_view(studio, values(tmp_path / "none"))
    assert studio.chat.session is None


def test_an_adapter_that_does_not_fit_is_refused_with_the_reason_before_anything_is_loaded(
    settings: Settings, tiny_model: Path, tmp_path: Path
) -> None:
    wide = make_tiny_model(tmp_path / "wide-llama", hidden=96)
    twin = shutil.copytree(tiny_model, tmp_path / "twin-llama")
    home_with_runs(settings.home, wide, ["wide"])
    studio = Studio(settings)
    told = room_view(studio, values(tiny_model, [BASE_VALUE, "wide"]))
    assert "does not fit tiny-llama" in told and "wide-llama" in told
    assert "128 inputs in the base, and 192 in the adapter (rank 4)" in told
    assert studio.chat.session is None
    with pytest.raises(ModelError, match=r"does not fit tiny-llama.*\(rank 4\)"):
        studio.chat.open(*lineup_of(studio, values(tiny_model, [BASE_VALUE, "wide"])))
    # One that fits answers, whatever its base is called.
    home_with_runs(settings.home, tiny_model, ["plain"])
    shown = values(twin, [BASE_VALUE, "plain"])
    assert "takes about" in room_view(studio, shown)
    model, columns = lineup_of(studio, shown)
    assert studio.chat.open(model, columns).in_turn == [] and model.source == str(twin)
    studio.chat.close()


def test_a_base_that_has_to_be_fetched_first_is_said(settings: Settings, tiny_model: Path) -> None:
    online = Studio(dataclasses.replace(settings, offline=False))
    assert "is fetched at the first prompt" in room_view(online, values())
    told = room_view(Studio(settings), values())
    assert "the studio is offline" in told and "takes about" in told
    assert "not on this PC" not in room_view(Studio(settings), values(tiny_model))


def test_a_base_that_comes_while_it_is_chosen_is_noticed_by_the_next_look(
    settings: Settings, tiny_model: Path, tmp_path: Path
) -> None:
    studio, base = Studio(settings), tmp_path / "comes"
    opened = sent(page(studio, values(base), {}))
    assert opened["arrived"] is False and "no model folder" in room_view(studio, values(base))
    assert "arrived" not in sent(page(studio, values(base), opened["seen"]))
    shutil.copytree(tiny_model, base)
    found = sent(page(studio, values(base), opened["seen"]))
    # Its change asks for the memory anew.
    assert found["arrived"] is True and "no model folder" not in room_view(studio, values(base))
    shown = sent(page(studio, values(base), found["seen"]))
    assert "arrived" not in shown
    shutil.rmtree(base)
    assert sent(page(studio, values(base), found["seen"]))["arrived"] is False


def test_memory_that_the_loaded_base_holds_counts_as_free(
    studio: Studio, tiny_model: Path
) -> None:
    device = pick_device()
    assert job_memory._held_by_chat(studio, device) == 0
    studio.chat.open(*lineup_of(studio, values(tiny_model)))
    held = job_memory._held_by_chat(studio, device)
    studio.chat.close()
    assert held == pytest.approx((tiny_model / "model.safetensors").stat().st_size, rel=0.05)
    assert job_memory._held_by_chat(studio, device) == 0


def test_who_uses_this_pc_is_said_with_how_to_free_it(studio: Studio, tiny_model: Path) -> None:
    seen = sent(page(studio, values(), {}))["seen"]
    studio.arbiter.acquire(Holder("The training run orders", "Stop it on the Train tab."))
    told = sent(page(studio, values(tiny_model, [BASE_VALUE, "second"]), seen))["sharing"]
    assert "The training run orders is using this PC" in told and "Stop it on the Train" in told


def test_whether_the_chosen_columns_fit_beside_a_training_is_said_in_numbers(
    studio: Studio, tiny_model: Path
) -> None:
    shown = values(tiny_model, [BASE_VALUE, "second"])
    seen = sent(page(studio, shown, sent(page(studio, values(), {}))["seen"]))["seen"]
    need = [1_000_000_000]
    training = Holder("The training run <orders>", "Stop it.", need=lambda: need[0])
    studio.arbiter.acquire(training)
    studio.arbiter._room_bytes = lambda: 10_000_000_000
    found = sent(page(studio, shown, seen))
    assert "run &lt;orders&gt; is at work, and this chat fits beside it" in found["sharing"]
    assert "takes up to 1.0 GB and the chat takes up to" in found["sharing"]
    need[0] = 1_100_000_000
    assert sent(page(studio, shown, found["seen"])) == {}, "a byte more is nothing new"
    need[0] = 9_000_000_000
    found = sent(page(studio, shown, found["seen"]))
    assert "does not fit beside it" in found["sharing"] and "9.0 GB are there" in found["sharing"]
    assert "Stop it. Or choose a smaller base or fewer columns." in found["sharing"]
    assert of_page(studio, {"base": " "})["sharing"] == "", "no base is chosen: said elsewhere"
    studio.arbiter.release(training)
    assert sent(page(studio, shown, found["seen"]))["sharing"] == ""


def test_a_base_held_otherwise_than_an_adapter_learned_it_is_said() -> None:
    offers = all_offers([trained("a"), trained("b", **{"model.quantization": "4bit"}),
                         trained("c", **{"model.revision": "v1"}), trained("d", QWEN)], ())
    notes = [note for one in offers for note in chat_lineup_page._notes(one, Model())]
    assert notes == [
        "b was trained on the 4-bit base, and answers on the unquantised one here.",
        "c was trained on the revision v1 of the base, and answers on the newest here.",
        f"d was trained on {QWEN}, and answers on Starter model here."]
