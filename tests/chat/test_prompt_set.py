"""Whatever the Dataset tab reads can be asked: each record gives the question before its answer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from studio.chat.prompt_set import read_prompts, written_prompts
from studio.errors import DataError
from studio.settings import Settings


def _file(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


def _lines(path: Path, *rows: dict[str, object]) -> str:
    return _file(path, "".join(json.dumps(row) + "\n" for row in rows))


def _said(*texts: str) -> list[dict[str, str]]:
    return [{"role": ("user", "assistant")[at % 2], "content": text}
            for at, text in enumerate(texts)]


def test_text_jsonl_and_csv_give_the_same_prompts(settings: Settings, tmp_path: Path) -> None:
    sources = [
        _file(tmp_path / "a.txt", "One pizza.\n\nTwo pizzas,\nplease.\n"),
        _lines(tmp_path / "b.jsonl", {"prompt": "One pizza."}, {"prompt": "Two pizzas,\nplease."}),
        _file(tmp_path / "c.csv", 'prompt\nOne pizza.\n"Two pizzas,\nplease."\n'),
    ]
    for source in sources:
        found = read_prompts(source, settings)
        assert found.prompts == ((_said("One pizza.")[0],), (_said("Two pizzas,\nplease.")[0],))
        assert found.name == Path(source).name and not found.problems


@pytest.mark.parametrize("row", [
    {"messages": [{"role": "system", "content": "Be brief."}, *_said("Hi", "Ho", "Pizza?", "Yes")]},
    {"prompt": [{"role": "system", "content": "Be brief."}, *_said("Hi", "Ho", "Pizza?")],
     "chosen": _said("", "Yes")[1:], "rejected": _said("", "No")[1:]},
], ids=["messages", "preference"])
def test_of_a_record_with_an_answer_the_turns_before_it_are_asked(
    settings: Settings, tmp_path: Path, row: dict[str, object]
) -> None:
    found = read_prompts(_lines(tmp_path / "a.jsonl", row), settings)
    assert list(found.prompts[0]) == [{"role": "system", "content": "Be brief."},
                                      *_said("Hi", "Ho", "Pizza?")]


def test_what_cannot_be_asked_is_named_and_the_rest_is_taken(
    settings: Settings, tmp_path: Path
) -> None:
    source = _file(tmp_path / "a.jsonl", '{"prompt": "One"}\n{"prompt": "  "}\nbroken\n'
                                         '{"prompt": "Two"}\n{"prompt": "Three"}\n')
    found = read_prompts(source, settings, most=3)
    assert [prompt[0]["content"] for prompt in found.prompts] == ["One", "Two"]
    assert [problem.where for problem in found.problems] == ["line 3", "", "line 2"]
    assert "more than 3" in found.problems[1].what


def test_calls_of_tools_are_not_asked(settings: Settings, tmp_path: Path) -> None:
    tool = {"type": "function", "function": {"name": "order", "parameters": {}}}
    source = _lines(tmp_path / "a.jsonl", {"prompt": "One", "tools": [tool]})
    with pytest.raises(DataError, match="calls tools"):
        read_prompts(source, settings)


def test_no_file_no_prompt_and_forbidden_folders_are_sentences(
    settings: Settings, tmp_path: Path
) -> None:
    numbers = _lines(tmp_path / "a.jsonl", {"x": 1}, {"x": 2})
    for source, words in ((str(tmp_path / "gone.txt"), "no data file"), (numbers, "x"),
                          (_file(tmp_path / "b.txt", "\n\n"), "empty")):
        with pytest.raises(DataError, match=words):
            read_prompts(source, settings)
    shut = Settings(home=settings.home, offline=True, data_folders=(tmp_path / "other",))
    with pytest.raises(DataError, match="outside the folders"):
        read_prompts(numbers, shut)


def test_the_starter_asks_what_no_run_was_taught(settings: Settings) -> None:
    from studio.data.reading.sources import starter_files

    taught, held_out = (file.read_text(encoding="utf-8") for file in starter_files())
    found = read_prompts("starter", settings, most=5)
    assert len(found.prompts) == 5
    for (turn,) in found.prompts:
        asked = json.dumps(turn["content"], ensure_ascii=False)
        assert asked in held_out and asked not in taught


def test_written_paragraphs_are_prompts(settings: Settings) -> None:
    found = written_prompts("  One pizza.\n\n  \nTwo pizzas,\nplease.\n")
    assert [prompt[0]["content"] for prompt in found.prompts] == [
        "One pizza.", "Two pizzas,\nplease."]
    with pytest.raises(DataError, match="0 prompts"):
        written_prompts(" \n\n ")
