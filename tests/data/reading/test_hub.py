"""Datasets of a Hub on loopback, read in a program of its own: the library reads where the Hub is
once, when it is imported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from studio.data.reading.hub import hub_part, is_hub_spec
from studio.settings import Settings
from tests.data.reading.hub_datasets import small_dataset_hub

ROWS = 2500
ROOT = Path(__file__).resolve().parents[3]

PROGRAM = """
import json, sys
from pathlib import Path
from studio.data.reading.sources import sources_of
from studio.errors import DataError
from studio.recipe import Data
from studio.settings import Settings

def read(first_page=False, offline=False, **fields):
    [source] = sources_of(Data(**fields), Settings(home=Path(sys.argv[1]), offline=offline))
    try:
        reads = [read for block in source.blocks(first_page=first_page) for read in block.read()]
    except DataError as error:
        return {"error": str(error)}
    return {"rows": [read.row for read in reads], "last": reads[-1].place, "stamp": source.stamp}

page = read(source="owner/name#test", first_page=True)
stored = [path.name for path in Path(sys.argv[1]).rglob("*.arrow")]
print(json.dumps({
    "page": page, "stored": stored,
    "before": sources_of(Data(source="owner/name"), Settings(home=Path(sys.argv[1])))[0].stamp,
    "all": read(source="owner/name"),
    "part": read(source="owner/name", split="train[:10]"),
    "again": read(source="owner/name", offline=True),
    "missing": read(source="owner/none"),
    "split": read(source="owner/name", split="nope"),
    "config": read(source="owner/name:nope"),
    "revision": read(source="owner/name", revision="nope"),
    "script": read(source="owner/script"),
}))
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the program printed."""
    folder = tmp_path_factory.mktemp("hub")
    data, script = folder / "data", folder / "script"
    data.mkdir()
    script.mkdir()
    lines = [json.dumps({"prompt": f"question {n}", "n": n}) for n in range(ROWS)]
    (data / "train.jsonl").write_text("\n".join(lines), encoding="utf-8")
    (data / "test.jsonl").write_text('{"prompt": "x", "n": 1}\n', encoding="utf-8")
    (script / "script.py").write_text(f"open({str(folder / 'ran')!r}, 'w')", encoding="utf-8")
    with small_dataset_hub() as hub:
        hub.repositories = {"owner/name": data, "owner/script": script}
        environment = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HOME": str(folder / "hf"),
                       "PYTHONPATH": str(ROOT), "TQDM_DISABLE": "1"}
        for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"):
            environment.pop(name, None)
        done = subprocess.run([sys.executable, "-X", "utf8", "-c", PROGRAM, str(folder / "home")],
                              env=environment, capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr
    return {**json.loads(done.stdout), "ran": (folder / "ran").exists()}


def test_a_split_is_read_whole_from_the_cache(found):
    assert [row["n"] for row in found["all"]["rows"]] == list(range(ROWS))
    assert found["all"]["last"] == f"row {ROWS}"
    assert found["again"]["rows"] == found["all"]["rows"]


def test_the_first_page_is_read_without_storing_the_data_set(found):
    assert found["page"]["rows"] == [{"prompt": "x", "n": 1}]
    assert found["stored"] == []


def test_a_part_of_a_split_is_read(found):
    assert len(found["part"]["rows"]) == 10


def test_the_stamp_knows_the_commit_once_it_is_downloaded(found):
    assert found["before"] != found["again"]["stamp"]


@pytest.mark.parametrize(("case", "words"), [
    ("missing", "'owner/none' is no file on this PC and could not be read from the Hugging Face"),
    ("split", "(split 'nope'): Unknown split"), ("config", "'nope'"),
    ("revision", "revision 'nope'"),
])
def test_what_the_hub_does_not_have_is_a_sentence(found, case, words):
    assert words in found[case]["error"]
    assert "owner/name:config" in found[case]["error"]


def test_code_that_comes_with_a_dataset_is_not_run(found):
    assert "could not be read" in found["script"]["error"]
    assert not found["ran"]


def test_a_spec_may_name_configuration_and_split(tmp_path):
    settings = Settings(home=tmp_path)
    part = hub_part("owner/name:en#test[:5%]", "train", "de", "main", settings)
    assert (part.name, part.config, part.split, part.revision) == (
        "owner/name", "en", "test[:5%]", "main")
    assert (hub_part("squad", "train", "de", None, settings).config) == "de"


@pytest.mark.parametrize(("spec", "is_spec"), [
    ("gpt2", True), ("owner/name", True), ("owner/name:config", True), ("owner/name#test", True),
    ("orders.xls", False), ("../x", False), ("a/b/c", False), ("C:\\data\\a", False), ("", False),
    ("a b", False), ("x" * 200, False),
])
def test_a_hub_id_looks_like_one(spec, is_spec):
    assert is_hub_spec(spec) == is_spec
