"""inspect tells the whole report of every format, and clean writes a copy that has none of it."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

TURNS = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
FORMATS: dict[str, dict[str, Any]] = {
    "alpaca": {"instruction": "Add", "input": "1 and 2", "output": "3"},
    "prompt_completion": {"question": "Why?", "answer": "Because."},
    "messages": {"messages": TURNS},
    "sharegpt": {"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]},
    "dialogue": {"text": "### Human: hello\n### Assistant: hi there"},
    "text": {"text": "Once upon a time."},
    "preference": {"prompt": "q", "chosen": "good", "rejected": "bad"},
    "kto": {"prompt": "q", "completion": "a", "label": True},
    "prompts": {"prompt": "Tell me about bears."},
}
REPORT_KEYS = {
    "source", "fingerprint", "format", "why", "rows", "readable_rows", "usable_rows", "columns",
    "sources", "statistics", "languages", "findings", "advice", "split", "problem_count",
    "problems",
}


def lines(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.mark.parametrize("name", FORMATS)
def test_the_whole_report_of_each_format(
    call: Any, tmp_path: Path, tiny_model: Path, name: str
) -> None:
    file = lines(tmp_path / "a.jsonl", [FORMATS[name]] * 3)
    code, out, _ = call("inspect", str(file), "--json", "--set", f"model.source={tiny_model}",
                        "--record", "1")
    found = json.loads(out)
    assert code == 0
    assert set(found) == REPORT_KEYS | {"record"}
    assert (found["format"], found["rows"], found["usable_rows"]) == (
        name, 3, 3)
    assert {"exact_duplicates"} <= {one["key"] for one in found["findings"]}
    examples = found["record"]["examples"]
    assert [one["title"] for one in examples] == {
        "preference": ["chosen", "rejected"], "kto": ["good answer"], "prompts": ["prompt"],
    }.get(name, ["example"])
    assert all(len(one["input_ids"]) == len(one["labels"]) for one in examples)


@pytest.mark.parametrize("name", ["a.json", "a.csv", "a.tsv", "a.parquet", "a.arrow", "a.txt",
                                  "a.md", "a.jsonl.gz", "a.jsonl.zst"])
def test_every_kind_of_file(call: Any, tmp_path: Path, name: str) -> None:
    import pyarrow
    import pyarrow.parquet

    rows = [FORMATS["prompt_completion"]] * 2
    path = tmp_path / name
    table = pyarrow.Table.from_pylist(rows)
    match name.partition(".")[2]:
        case "json":
            path.write_text(json.dumps(rows), encoding="utf-8")
        case "csv":
            path.write_text("question,answer\nWhy?,Because.\nHow?,So.\n", encoding="utf-8")
        case "tsv":
            path.write_text("question\tanswer\nWhy?\tBecause.\nHow?\tSo.\n", encoding="utf-8")
        case "parquet":
            pyarrow.parquet.write_table(table, path)
        case "arrow":
            with pyarrow.ipc.new_file(str(path), table.schema) as writer:
                writer.write_table(table)
        case "jsonl.gz":
            path.write_bytes(gzip.compress(lines(tmp_path / "a.jsonl", rows).read_bytes()))
        case "jsonl.zst":
            packed = pyarrow.compress(lines(tmp_path / "a.jsonl", rows).read_bytes(), "zstd")
            path.write_bytes(packed.to_pybytes())
        case _:
            path.write_text("First paragraph.\n\nSecond one.\n", encoding="utf-8")
    code, out, _ = call("inspect", str(path), "--json")
    found = json.loads(out)
    assert code == 0
    assert found["format"] == ("text" if name in ("a.txt", "a.md") else "prompt_completion")
    assert (found["rows"], found["usable_rows"]) == (2, 2)


def test_a_person_reads_findings_lengths_and_advice(
    call: Any, tmp_path: Path, tiny_model: Path
) -> None:
    rows = [FORMATS["messages"], {"messages": [TURNS[0], {"role": "assistant", "content": ""}]}]
    code, out, _ = call("inspect", str(lines(tmp_path / "a.jsonl", rows)), "--set",
                        f"model.source={tiny_model}", "--record", "1")
    assert code == 0
    for said in ("Format: messages", "Tokens:", "Empty answers", "Collect more examples",
                 "Trained on: 1", "learned, 0 cut off"):
        assert said in " ".join(out.split())


def test_a_cleaned_copy_has_no_more_of_what_was_chosen(call: Any, tmp_path: Path) -> None:
    dirty = lines(tmp_path / "a.jsonl", [
        FORMATS["messages"], FORMATS["messages"],
        {"messages": [*TURNS[:1], {"role": "assistant", "content": "Ask bob@example.org."}]},
        {"messages": [TURNS[0], TURNS[0], TURNS[1]]},
    ])
    before = dirty.read_bytes()
    code, out, _ = call("clean", str(dirty), "--drop", "exact_duplicates", "--mask",
                        "personal_data", "--fix", "role_order", "--out", str(tmp_path / "clean"),
                        "--json")
    made = json.loads(out)
    assert code == 0 and dirty.read_bytes() == before
    assert (made["rows_in"], made["kept"], made["dropped"], made["changed"]) == (4, 3, 1, 2)
    [file] = made["files"]
    assert json.loads(Path(file["record"]).read_text(encoding="utf-8"))["rows_out"] == 3
    code, out, _ = call("inspect", file["file"], "--json")
    found = json.loads(out)
    assert (found["rows"], found["usable_rows"]) == (3, 3)
    assert not {"exact_duplicates", "personal_data", "role_order"} & {
        one["key"] for one in found["findings"]}


@pytest.mark.parametrize(("choices", "said"), [
    ([], "Nothing was chosen"),
    (["--drop", "no_such"], "no_such"),
    (["--drop", "role_order", "--fix", "role_order"], "more than once"),
])
def test_a_choice_that_cannot_be_is_a_sentence(
    call: Any, tmp_path: Path, choices: list[str], said: str
) -> None:
    file = lines(tmp_path / "a.jsonl", [FORMATS["messages"]])
    code, _, err = call("clean", str(file), *choices, "--out", str(tmp_path / "clean"))
    assert code == 1 and said in err
    assert not list((tmp_path / "clean").glob("*.jsonl"))
