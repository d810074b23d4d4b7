"""Plain text for continued pre-training: whole documents, divided into rows and never cut."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from studio.data.columns import COLUMNS
from studio.data.lab.look import open_whole, report_of
from studio.data.lab.record import ROWS_SHOWN, record_of_whole
from studio.data.prepare import prepare
from studio.data.reading import text_files
from studio.errors import DataError
from studio.recipe import Recipe, parse_recipe
from studio.training.packed_row import packed_row

BOOK = "Chapter one.\n\nIt was raining.\nStill.\n\n\nChapter two.\n\nIt was not."


def recipe(source: Path | str, method: str = "pretrain", **data: Any) -> Recipe:
    return parse_recipe({"training": {"method": method}, "data": {"source": str(source), **data}})


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    """A folder of three documents of different lengths."""
    folder = tmp_path / "shelf"
    folder.mkdir()
    (folder / "a.txt").write_text(f"\n\n{BOOK}\n", encoding="utf-8")
    (folder / "b.md").write_text("# A note\n\nBy somebody.\n", encoding="utf-8")
    (folder / "c.txt").write_text("\n\n".join(f"Part {n} of it." for n in range(60)),
                                  encoding="utf-8")
    (folder / "empty.txt").write_text("\n \n", encoding="utf-8")
    return folder


def joined(rows: list[list[int]]) -> list[int]:
    """A document out of its rows, each of which begins with the last token before it."""
    return [*rows[0], *(token for row in rows[1:] for token in row[1:])]


def test_every_file_is_one_document_and_every_token_of_it_is_learned(shelf, settings, tokenizer):
    prepared = prepare(recipe(shelf, max_length=16, eval_fraction=0), tokenizer, settings)
    assert prepared.skipped_count == 0 and prepared.eval is None
    ids = list(prepared.train["input_ids"])
    assert ids == list(prepared.train["labels"])
    assert max(map(len, ids)) == 16 and min(map(len, ids)) > 1
    rest, end = list(ids), tokenizer.eos_token_id
    for path in sorted(path for path in shelf.iterdir() if path.name != "empty.txt"):
        text = path.read_text(encoding="utf-8").strip("\n")
        document = [*tokenizer(text)["input_ids"], end]
        count = -(-(len(document) - 1) // 15)
        assert joined(rest[:count]) == document
        rest = rest[count:]
    assert not rest
    assert sum(row.count(end) for row in ids) == 3


def test_the_same_files_are_read_in_paragraphs_where_answers_are_imitated(
    shelf, settings, tokenizer
):
    prepared = prepare(recipe(shelf, "sft", max_length=16, eval_fraction=0), tokenizer, settings)
    assert len(prepared.train) == 4 + 2 + 60


def test_documents_are_held_out_whole(shelf, settings, tokenizer):
    prepared = prepare(recipe(shelf, max_length=16, eval_fraction=0.34), tokenizer, settings)
    ends = [sum(row.count(tokenizer.eos_token_id) for row in part["input_ids"])
            for part in (prepared.train, prepared.eval)]
    assert ends == [2, 1]


def test_lines_of_text_are_documents_too(write, settings, tokenizer):
    path = write("a.jsonl", [{"text": BOOK}, {"text": "Short."}])
    prepared = prepare(recipe(path, max_length=8, eval_fraction=0), tokenizer, settings)
    documents = [[*tokenizer(text)["input_ids"], tokenizer.eos_token_id]
                 for text in (BOOK, "Short.")]
    count = -(-(len(documents[0]) - 1) // 7)
    rows = list(prepared.train["input_ids"])
    assert [joined(rows[:count]), joined(rows[count:])] == documents


def test_a_very_long_file_is_parted_between_paragraphs(tmp_path, settings, tokenizer, monkeypatch):
    monkeypatch.setattr(text_files, "LONGEST_DOCUMENT", 100)
    paragraphs = [f"Paragraph {n} of the book." for n in range(30)] + ["x" * 1000]
    path = tmp_path / "book.txt"
    path.write_text("\n\n".join(paragraphs), encoding="utf-8")
    whole = open_whole(recipe(path).taught_data, settings)
    texts = [whole.store.row(n)["text"] for n in range(len(whole.store))]
    assert 3 < len(texts) < 15
    assert "".join(texts).replace("\n", "") == "".join(paragraphs)
    assert all(text.startswith(("Paragraph", "x")) for text in texts)


def test_nothing_is_called_cut_and_the_rows_are_counted(shelf, settings, tokenizer):
    chosen = recipe(shelf, max_length=16, eval_fraction=0)
    report = report_of(open_whole(chosen.taught_data, settings, tokenizer), chosen.training)
    assert not {"truncated", "no_loss"} & {one.key for one in report.findings}
    assert report.statistics.truncated == 0
    assert report.statistics.examples == 3
    assert report.statistics.rows == len(prepare(chosen, tokenizer, settings).train)
    advice = {one.about for one in report.advice}
    assert advice <= {"few_examples", "nothing_held_out", "packing_on"}
    assert "tokens" in next(one.what for one in report.advice if one.about == "few_examples")
    cut = parse_recipe({"data": chosen.data.model_dump()})
    assert report_of(open_whole(cut.taught_data, settings, tokenizer)).statistics.rows == 66


def test_the_preview_shows_the_first_rows_as_they_are_trained(shelf, settings, tokenizer):
    chosen = recipe(shelf, max_length=16, eval_fraction=0)
    rows = list(prepare(chosen, tokenizer, settings).train["input_ids"])
    record = record_of_whole(open_whole(chosen.taught_data, settings, tokenizer), 1)
    assert record is not None and len(record.examples) == ROWS_SHOWN
    for number, (title, example) in enumerate(record.examples):
        assert title.startswith(f"row {number + 1} of ")
        assert example.input_ids == example.labels == rows[number]
        assert not example.truncated and example.cut_text == ""
        shown = "".join(text for text, _ in example.pieces)
        assert shown == tokenizer.decode(example.input_ids)


def test_the_packed_row_of_a_document_is_told(shelf, settings, tokenizer):
    chosen = recipe(shelf, max_length=16, eval_fraction=0, packing=True)
    whole = open_whole(chosen.taught_data, settings, tokenizer)
    row = packed_row(whole, whole.split.train, 1)
    assert 1 in [number for number, _ in row]
    assert sum(tokens for _, tokens in row) <= 16


def test_conversations_are_refused_with_the_way_out(write, settings, tokenizer):
    path = write("a.jsonl", [{"prompt": "q", "completion": "a"}] * 3)
    with pytest.raises(DataError, match=r"prompt_completion.*pretrain cannot") as caught:
        prepare(recipe(path), tokenizer, settings)
    assert "training.method to sft" in caught.value.hint
    assert "plain text" in caught.value.hint


@pytest.mark.parametrize("method", list(COLUMNS))
def test_the_starter_has_a_set_for_every_method(method, settings, tokenizer):
    prepared = prepare(recipe("starter", method, max_length=256), tokenizer, settings)
    assert prepared.skipped_count == 0
    assert len(prepared.train) >= 100
    assert prepared.eval is not None and len(prepared.eval)
