"""What a source may be: a file, a folder, the starter; and what is said of anything else."""

from __future__ import annotations

import dataclasses
import os
import socket
import sys
from pathlib import Path

import pytest

from studio.data.reading.sources import sources_of, starter_files
from studio.errors import DataError, Stopped
from studio.recipe import Data
from studio.settings import Settings

PAIR = {"prompt": "a", "completion": "b"}
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="devices and pipes are named otherwise")


def source_of(spec: str, settings: Settings, **fields: object):
    return sources_of(Data(source=spec, **fields), settings)[0]


def test_the_starter_comes_with_the_studio(settings, read_all):
    train, held_out = starter_files()
    assert Path(train).is_file() and Path(held_out).is_file()
    assert len(read_all("starter").rows) >= 500
    narrow = dataclasses.replace(settings, data_folders=(settings.home,))
    assert source_of("starter", narrow).name == "train.jsonl"


def test_mixed_and_held_out_sources_follow_the_main_one(write, settings):
    data = Data(source=write("a.jsonl", [PAIR]), mix={write("b.csv", "text\nx\n"): 0.5},
                held_out="file", eval_source=write("c.txt", "x"))
    main, mixed, held_out = sources_of(data, settings)
    assert (main.name, main.weight, main.held_out) == ("a.jsonl", 1, False)
    assert (mixed.name, mixed.weight, mixed.held_out) == ("b.csv", 0.5, False)
    assert (held_out.name, held_out.held_out) == ("c.txt", True)


def test_a_held_out_file_is_read_only_where_the_recipe_holds_out_by_file(write, settings):
    data = Data(source=write("a.jsonl", [PAIR]), eval_source="missing.jsonl")
    assert len(sources_of(data, settings)) == 1


def test_the_stamp_follows_the_file(write, settings):
    path = Path(write("a.jsonl", [PAIR]))
    first = source_of(str(path), settings).stamp
    assert source_of(str(path), settings).stamp == first
    os.utime(path, ns=(1, 1))
    assert source_of(str(path), settings).stamp != first
    second = source_of(str(path), settings).stamp
    assert source_of(str(path), settings, split="test").stamp != second


def test_a_folder_is_all_its_data_files_in_order(write, settings, read_all, tmp_path):
    (tmp_path / "set" / "inner").mkdir(parents=True)
    write("set/b.jsonl", [PAIR, PAIR])
    write("set/a.csv", "prompt,completion\nx,y\n")
    for name in ("README.md", "notes.xlsx", "a-cleaned.record.json", ".hidden.jsonl",
                 "dataset_info.json"):
        write(f"set/{name}", "text")
    found = read_all(str(tmp_path / "set"))
    assert found.places == ["a.csv line 2", "b.jsonl line 1", "b.jsonl line 2"]
    assert found.rows[0] == {"prompt": "x", "completion": "y"}
    [note] = found.notes
    assert "4 other files" in note.what
    assert "README.md" in note.what and "notes.xlsx" in note.what
    source = source_of(str(tmp_path / "set"), settings)
    assert [block.done for block in source.blocks()][-1] == source.total


def test_a_folder_of_texts_alone_is_read(write, read_all, tmp_path):
    (tmp_path / "set").mkdir()
    write("set/a.md", "one\n\ntwo")
    assert read_all(str(tmp_path / "set")).places == ["a.md line 1", "a.md line 3"]


def test_a_folder_without_data_names_the_folders_that_have_some(write, settings, tmp_path):
    (tmp_path / "set" / "data").mkdir(parents=True)
    write("set/data/a.jsonl", [PAIR])
    with pytest.raises(DataError, match=r"without data files.*Choose one of its folders: data"):
        source_of(str(tmp_path / "set"), settings)
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match=r"without data files.*\.jsonl"):
        source_of(str(tmp_path / "none"), settings)


def test_links_out_of_a_folder_are_not_followed_and_counted(write, read_all, tmp_path):
    (tmp_path / "set").mkdir()
    outside = write("secret.jsonl", [PAIR])
    write("set/a.jsonl", [PAIR])
    (tmp_path / "set" / "b.jsonl").symlink_to(outside)
    (tmp_path / "set" / "c.jsonl").symlink_to(tmp_path / "set" / "a.jsonl")
    (tmp_path / "set" / "d.jsonl").symlink_to(tmp_path / "nothing")
    found = read_all(str(tmp_path / "set"))
    assert found.places == ["a.jsonl line 1", "c.jsonl line 1"]
    assert "2 links that lead out of the folder were not followed: b.jsonl, d.jsonl" in (
        found.notes[0].what)
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "b.jsonl").symlink_to(outside)
    with pytest.raises(DataError, match="only links that lead out"):
        read_all(str(tmp_path / "links"))


def test_a_path_outside_the_allowed_folders_is_refused(write, settings, tmp_path):
    (tmp_path / "allowed").mkdir()
    inside, outside = write("allowed/a.jsonl", [PAIR]), write("b.jsonl", [PAIR])
    narrow = dataclasses.replace(settings, data_folders=(tmp_path / "allowed",))
    assert source_of(inside, narrow).name == "a.jsonl"
    (tmp_path / "allowed" / "link.jsonl").symlink_to(outside)
    for path in (outside, str(tmp_path), str(tmp_path / "allowed" / ".." / "b.jsonl"),
                 str(tmp_path / "allowed" / "link.jsonl")):
        with pytest.raises(DataError, match="outside the folders that data may be read from") as no:
            source_of(path, narrow)
        assert str(tmp_path / "allowed") in no.value.hint
        assert "ADAPTER_STUDIO_DATA_FOLDERS" in no.value.hint


def test_uploads_may_always_be_read(settings):
    settings.uploads.mkdir(parents=True)
    (settings.uploads / "a.txt").write_text("x", encoding="utf-8")
    narrow = dataclasses.replace(settings, data_folders=(settings.home / "other",))
    assert source_of(str(settings.uploads / "a.txt"), narrow).name == "a.txt"


@POSIX
def test_devices_pipes_and_the_system_s_own_files_are_refused(settings, tmp_path):
    os.mkfifo(tmp_path / "a.jsonl")
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(tmp_path / "b.jsonl"))
    (tmp_path / "c.jsonl").symlink_to("/dev/zero")
    for path, word in [("/dev/zero", "device"), (tmp_path / "a.jsonl", "pipe"),
                       (tmp_path / "b.jsonl", "socket"), (tmp_path / "c.jsonl", "device")]:
        with pytest.raises(DataError, match=f"is a {word}, not a data file"):
            source_of(str(path), settings)
    server.close()


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="there is no such folder here")
def test_what_the_operating_system_shows_as_files_is_no_data(settings):
    for path in ("/proc/self", "/proc/cpuinfo", "/sys"):
        with pytest.raises(DataError, match="belongs to the operating system"):
            source_of(path, settings)


def test_a_missing_file_names_the_nearest(write, settings, tmp_path):
    write("orders.jsonl.gz", b"x")
    with pytest.raises(DataError, match=r"Did you mean orders\.jsonl\.gz"):
        source_of(str(tmp_path / "ordres.jsonl.gz"), settings)
    with pytest.raises(DataError, match=r"folder .*nowhere.* does not exist either"):
        source_of(str(tmp_path / "nowhere" / "a.jsonl"), settings)


@pytest.mark.parametrize("source", [
    "https://example.org/a.jsonl", "a\0b", "x" * 5000, "../nothing.jsonl", "~nobody/x.jsonl",
])
def test_a_source_that_is_nothing_is_a_sentence(settings, source):
    with pytest.raises(DataError):
        source_of(source, settings)


@pytest.mark.parametrize(("name", "words"), [
    ("a.xlsx", r"ends in '\.xlsx'.*\.jsonl"), ("a", "no ending that says what it holds"),
    ("a.zip", r"is an archive.*Unpack it"),
    ("a.gz", r"does not say what is packed.*data\.jsonl\.gz"),
    ("a.tar.gz", "does not say what is packed"),
])
def test_an_unknown_ending_lists_the_readable_ones(write, settings, name, words):
    with pytest.raises(DataError, match=words):
        source_of(write(name, b"x"), settings)


def test_a_stop_is_honoured_between_blocks(write, settings):
    source = source_of(write("a.jsonl", [PAIR] * 5000), settings)
    with pytest.raises(Stopped):
        list(source.blocks(stop=lambda: True))


def test_the_studio_offline_says_so_of_a_hub_id(settings):
    with pytest.raises(DataError, match="the studio is offline"):
        list(source_of("owner/name", settings).blocks())


@POSIX
def test_a_file_that_may_not_be_read_is_a_sentence(write, settings):
    path = Path(write("a.jsonl", [PAIR]))
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("this user may read everything")
    with pytest.raises(DataError, match=r"a\.jsonl cannot be read: Permission denied"):
        list(source_of(str(path), settings).blocks())
