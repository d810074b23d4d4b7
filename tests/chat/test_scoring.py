"""What is said of an answer is what plain transformers and PEFT say of it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from studio.chat import scoring
from studio.chat.sampling import Sampling
from studio.chat.session import ChatSession, Column
from studio.errors import ModelError
from studio.settings import Settings
from tests.chat.alone import SHORT, model_of

LONG = [{"role": "user", "content": "Two pizzas and a cola for Anna, please, to Berlin."}]
HISTORIES = {"base": SHORT, "one": LONG, "half": SHORT, "two": SHORT, "dora": LONG, "soft": SHORT,
             "ia3": LONG}


def _other_kinds(base: Path, folder: Path) -> dict[str, Path]:
    """Learned tokens in front of the text, and IA3."""
    import torch
    from peft import IA3Config, PromptTuningConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(9)
    for name, config in (("soft", PromptTuningConfig(num_virtual_tokens=3)),
                         ("ia3", IA3Config(target_modules=["k_proj", "down_proj"],
                                           feedforward_modules=["down_proj"]))):
        config.task_type = "CAUSAL_LM"
        model = get_peft_model(AutoModelForCausalLM.from_pretrained(base), config)
        for parameter in (one for one in model.parameters() if one.requires_grad):
            torch.nn.init.normal_(parameter.data, mean=1, std=0.5)
        model.save_pretrained(folder / name)
    return {"soft": folder / "soft", "ia3": folder / "ia3"}


@pytest.fixture(scope="module")
def paths(tiny_model: Path, adapters: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
          ) -> dict[str, Path | None]:
    others = _other_kinds(tiny_model, tmp_path_factory.mktemp("others"))
    return {"base": None, "half": adapters["one"], **adapters, **others}


@pytest.fixture(scope="module")
def session(tiny_model: Path, paths: dict[str, Path | None],
            tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChatSession]:
    columns = [Column(name, paths[name], 0.5 if name == "half" else 1) for name in HISTORIES]
    settings = Settings(home=tmp_path_factory.mktemp("home"), offline=True)
    session = ChatSession(model_of(tiny_model), columns, settings)
    yield session
    session.close()


@pytest.fixture(scope="module")
def answered(session: ChatSession) -> dict[str, list[int]]:
    """Answers of different lengths."""
    list(session.answer(HISTORIES, Sampling(temperature=1.2, top_k=0, top_p=1, seed=5,
                                            max_new_tokens=30)))
    lengths = zip(HISTORIES, (30, 12, 25, 1, 20, 9, 7), strict=True)
    return {name: session.turns[name].token_ids[:length] for name, length in lengths}


def _distributions(base: Path, adapter: Path | None, history: list[dict[str, str]],
                   answer: list[int], strength: float = 1) -> Any:
    """log p of every token of the vocabulary at each token of the answer, in plain PEFT."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).eval()
    if adapter is not None:
        model = PeftModel.from_pretrained(model, adapter).eval()
    for name, parameter in model.named_parameters():
        if "lora_B" in name and strength != 1:
            parameter.data *= strength
    prompt = tokenizer.apply_chat_template(history, add_generation_prompt=True, return_dict=True)
    ids = torch.tensor([[*prompt["input_ids"], *answer]])
    with torch.inference_mode():
        logits = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
    return torch.log_softmax(logits[0, -len(answer) - 1:-1].double(), -1)


@pytest.mark.parametrize("piece_bytes", [scoring._PIECE_BYTES, 1, 6 * 4 * 4 * 512 * 7],
                         ids=["at once", "token by token", "in pieces"])
def test_log_probabilities_and_kl_are_those_of_the_models_alone(
    session: ChatSession, answered: dict[str, list[int]], tiny_model: Path,
    paths: dict[str, Path | None], monkeypatch: pytest.MonkeyPatch, piece_bytes: int
) -> None:
    monkeypatch.setattr(scoring, "_PIECE_BYTES", piece_bytes)
    scores = session.scores(HISTORIES, answered)
    assert list(scores) == list(HISTORIES)
    for name, score in scores.items():
        ids = answered[name]
        log_p = _distributions(tiny_model, paths[name], HISTORIES[name], ids,
                               0.5 if name == "half" else 1)
        log_q = _distributions(tiny_model, None, HISTORIES[name], ids)
        likely = [float(row[token]) for row, token in zip(log_p, ids, strict=True)]
        kl = (log_p.exp() * (log_p - log_q)).sum(-1).tolist()
        assert score.log_probabilities == pytest.approx(likely, abs=1e-4), name
        assert score.kl_to_base == pytest.approx(kl, abs=1e-4), name
        assert score.perplexity == pytest.approx(math.exp(-sum(likely) / len(likely)), rel=1e-4)
        assert "".join(score.texts) == session.reader(None).tokenizer.decode(
            ids, skip_special_tokens=True).rstrip("\ufffd")
        assert (score.mean_kl_to_base == 0) == (name == "base")
    assert not session.is_broken and not session.is_answering


def test_no_adapters_and_empty_answers_are_scored_too(
    session: ChatSession, answered: dict[str, list[int]], tiny_model: Path, settings: Settings
) -> None:
    bare = ChatSession(model_of(tiny_model), [Column("base")], settings)
    alone = bare.scores({"base": SHORT}, answered)["base"]
    assert alone.kl_to_base == [0.0] * 30
    both = session.scores({"base": SHORT, "one": LONG}, {"base": answered["base"], "one": []})
    assert both["base"].log_probabilities == pytest.approx(alone.log_probabilities, abs=1e-5)
    assert both["one"].perplexity is None and both["one"].texts == []
    bare.close()


def test_an_answer_that_does_not_fit_the_context_is_a_sentence(session: ChatSession) -> None:
    with pytest.raises(ModelError, match="at most 512"):
        session.scores({"base": SHORT}, {"base": [3] * 512})


def test_after_scores_a_column_answers_as_before(session: ChatSession) -> None:
    greedy = Sampling(temperature=0, max_new_tokens=8)
    names = {name: HISTORIES[name] for name in ("base", "one", "dora", "soft")}
    before = list(session.answer(names, greedy))[-1]
    ids = {name: list(session.turns[name].token_ids) for name in names}
    session.scores(names, ids)
    assert list(session.answer(names, greedy))[-1] == before
