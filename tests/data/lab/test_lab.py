"""The first rows come at once, the whole set in the background, and every row in view."""

from __future__ import annotations

import json
import threading

import pytest

from studio.data.lab.first_page import ROWS, first_page
from studio.data.lab.lab import Lab
from studio.data.lab.look import inspect
from studio.errors import DataError
from studio.recipe import Data, parse_recipe

PAIR = {"prompt": "q", "completion": "a"}


def recipe(source, **data):
    return parse_recipe({"data": {"source": source, **data}})


def test_the_first_page_reads_no_more_than_it_shows(write, settings):
    path = write("a.jsonl", [PAIR] * 100_000)
    page = first_page(Data(source=path), settings)
    assert len(page.rows) == ROWS and not page.is_all
    assert page.detection.format == "prompt_completion"
    assert not (settings.cache / "data").exists()


def test_a_short_source_is_all_on_the_first_page(write, settings):
    page = first_page(Data(source=write("a.jsonl", f"{json.dumps(PAIR)}\n{{oops\n")), settings)
    assert page.is_all and len(page.rows) == 1
    assert page.problems[0].where == "line 2"


def test_the_whole_is_looked_at_in_the_background_and_kept(write, settings, tokenizer):
    lab = Lab(settings)
    chosen = recipe(write("a.jsonl", [PAIR] * 30))
    lab.start(chosen, tokenizer)
    view = lab.wait()
    assert view.state == "done" and view.report.rows == 30 and view.report.has_tokens
    assert any(finding.key == "exact_duplicates" for finding in view.report.findings)
    version = view.version
    lab.start(chosen, tokenizer)
    assert lab.view().version == version, "the same set is not looked at again"


def test_another_set_takes_the_place_of_one_under_way(write, settings):
    lab = Lab(settings)
    lab.start(recipe(write("a.jsonl", [PAIR] * 20_000)), None)
    lab.start(recipe(write("b.jsonl", [{"text": "b"}] * 3)), None)
    view = lab.wait()
    assert view.state == "done" and view.report.name == "b.jsonl"


def test_a_stop_ends_it_and_leaves_nothing_half_read(write, settings):
    lab = Lab(settings)
    lab.start(recipe(write("a.jsonl", [PAIR] * 200_000)), None)
    lab.stop()
    assert lab.wait().state in ("stopped", "done")
    partial = list((settings.cache / "data").glob(".partial-*"))
    assert partial == []
    assert not [thread for thread in threading.enumerate() if thread.name == "data-lab"]


def test_what_is_not_there_is_said_at_once(settings):
    with pytest.raises(DataError, match=r"missing\.jsonl"):
        Lab(settings).start(recipe("missing.jsonl"), None)


def test_an_error_while_reading_is_in_the_view(write, settings):
    lab = Lab(settings)
    lab.start(recipe(write("a.json", "[{]")), None)
    view = lab.wait()
    assert view.report is not None or view.error is not None


def test_records_come_from_the_first_page_before_the_whole_is_there(write, settings, tokenizer):
    lab = Lab(settings)
    chosen = recipe(write("a.jsonl", [{"prompt": f"q{n}", "completion": "a"} for n in range(90)]))
    before = lab.record(chosen.data, tokenizer, 60)
    assert (before.number, before.total) == (50, None)
    lab.start(chosen, tokenizer)
    lab.wait()
    after = lab.record(chosen.data, tokenizer, 60)
    assert (after.number, after.total, after.row["prompt"]) == (60, 90, "q59")
    assert after.examples[0][1].text.startswith("<|im_start|>user\nq59")
    assert lab.record(chosen.data, tokenizer, 1000).number == 90


def test_a_record_shows_why_it_cannot_be_taught(write, settings, tokenizer):
    lab = Lab(settings)
    chosen = recipe(write("a.jsonl", [PAIR, {"prompt": "q", "completion": " "}]))
    record = lab.record(chosen.data, tokenizer, 2)
    assert record.sample is None and record.fault.kind == "empty_answer"
    assert record.row == {"prompt": "q", "completion": " "}


@pytest.mark.parametrize("rows", [
    [PAIR] * 12 + [{"prompt": "q", "completion": ""}],
    [{"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}],
    [{"prompt": "q", "chosen": "a", "rejected": "b"}],
    [{"prompt": "q", "completion": "a", "label": True}],
    [{"prompt": "only a question"}],
    [{"text": "### Human: hello\n### Assistant: hi"}],
    [{"strange": 1, "columns": [2]}],
])
def test_the_report_counts_every_row_with_and_without_tokens(write, settings, tokenizer, rows):
    data = Data(source=write("a.jsonl", rows))
    for tokens in (None, tokenizer):
        report = inspect(data, settings, tokens)
        assert report.rows == report.readable == len(rows)
        assert report.statistics.examples + report.statistics.without_answer == len(rows)
        assert json.loads(json.dumps(report.as_json()))["rows"] == len(rows)
    if report.format in ("prompt_completion", "messages", "dialogue"):
        assert sum(report.statistics.length_counts) == report.statistics.examples
        assert report.train_examples + report.eval_examples == report.statistics.examples


def test_a_report_is_made_of_whatever_cannot_be_opened(write, settings):
    for name, content in (("a.jsonl", ""), ("a.parquet", b"PAR1 no"), ("a.json", "{")):
        report = inspect(Data(source=write(name, content)), settings)
        assert report.statistics.examples == 0 and report.problem_count >= 1
        assert report.problems[0].what
