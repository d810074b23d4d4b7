"""The page as a whole: complete, private, and answering to this PC alone."""

from __future__ import annotations

import http.client
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import gradio as gr
import pytest

from studio.bootstrap.ports import is_free
from studio.errors import BusyError, DataError
from studio.presets import starter_recipe
from studio.recipe import form_fields, recipe_from_form
from studio.settings import Settings
from studio.ui import app, guard, header, plan, widgets
from studio.ui.reading import Reading
from studio.ui.studio import Studio


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> gr.Blocks:
    """The whole page, built once and not served."""
    home = tmp_path_factory.mktemp("page") / "home"
    return app.build_app(Studio(Settings(home=home, offline=True)))


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[app.Running]:
    """The page, answering on a free port of a PC whose network has a proxy, which is away."""
    home = tmp_path_factory.mktemp("served") / "home"
    with pytest.MonkeyPatch.context() as environment:
        for name in ("HTTP_PROXY", "http_proxy"):
            environment.setenv(name, "http://127.0.0.1:9")
        for name in ("NO_PROXY", "no_proxy"):
            environment.setenv(name, "example.com")
        running = app.start_app(Settings(home=home, offline=True), port=0)
        assert os.environ["no_proxy"] == "example.com,127.0.0.1,localhost"
        yield running
        running.close()


def _components(page: gr.Blocks) -> dict[str, dict[str, Any]]:
    """Properties of the components that have an element id."""
    return {item["props"]["elem_id"]: item["props"] for item in page.config["components"]
            if item["props"].get("elem_id")}


def test_every_field_of_the_recipe_is_on_the_page_exactly_once(page: gr.Blocks) -> None:
    ids = [item["props"].get("elem_id") for item in page.config["components"]]
    for field in form_fields():
        assert ids.count(widgets.elem_id(field.key)) == 1, field.key


def test_labels_and_help_are_those_of_the_recipe(page: gr.Blocks) -> None:
    components = _components(page)
    for field in form_fields():
        shown = components[widgets.elem_id(field.key)]
        # Cards say themselves what each choice is.
        told = None if field.key in ("training.method", "adapter.method") else field.help
        assert (shown["label"], shown.get("info")) == (field.label, told)


def test_the_page_opens_with_the_starter(page: gr.Blocks) -> None:
    components = _components(page)
    shown = {field.key: components[widgets.elem_id(field.key)]["value"] for field in form_fields()}
    assert recipe_from_form(shown) == starter_recipe()


def test_no_handler_is_open_to_other_programs(page: gr.Blocks) -> None:
    assert page.config["dependencies"]
    for dependency in page.config["dependencies"]:
        assert dependency["api_visibility"] == "private", dependency["api_name"]


def test_there_is_one_timer_and_it_stands_outside_the_tabs(page: gr.Blocks) -> None:
    timers = [block for block in page.blocks.values() if isinstance(block, gr.Timer)]
    assert len(timers) == 1
    assert isinstance(timers[0].parent, gr.Blocks)


def test_no_element_id_is_given_twice(page: gr.Blocks) -> None:
    ids = [item["props"]["elem_id"] for item in page.config["components"]
           if item["props"].get("elem_id")]
    assert sorted(ids) == sorted(set(ids))


def test_a_slider_is_widened_for_a_value_beyond_its_end() -> None:
    rank = widgets.fields_by_key()["adapter.rank"]
    assert widgets.slider_range(rank, 16) == (1, 256)
    assert widgets.slider_range(rank, 512) == (1, 512)


def test_a_slider_counts_whole_steps_from_its_lower_end() -> None:
    fields = widgets.fields_by_key()
    assert widgets.slider_range(fields["data.max_length"], 512)[0] == 64
    assert widgets.slider_range(fields["training.epochs"], 1)[0] == 0.5


def _get(running: app.Running, path: str, **headers: str) -> tuple[int, str]:
    address = urlsplit(running.url)
    connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=20)
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode("utf-8", "replace")
    finally:
        connection.close()


def test_the_page_answers_on_this_pc_only(served: app.Running) -> None:
    assert urlsplit(served.url).hostname == "127.0.0.1"
    status, text = _get(served, "/")
    assert status == 200
    assert "Adapter Studio" in text


@pytest.mark.parametrize("host", ["evil.example", "evil.example:7861", "127.0.0.1.evil.example"])
def test_a_foreign_host_is_refused(served: app.Running, host: str) -> None:
    for path in ("/", "/config", "/gradio_api/info"):
        assert _get(served, path, Host=host)[0] == 400


def test_localhost_is_an_allowed_name(served: app.Running) -> None:
    assert _get(served, "/config", Host=f"localhost:{urlsplit(served.url).port}")[0] == 200


def test_nothing_is_shared_recorded_or_open(served: app.Running) -> None:
    config = json.loads(_get(served, "/config")[1])
    assert not config.get("analytics_enabled")
    assert not config.get("is_colab")
    assert _get(served, "/gradio_api/runs")[0] == 404
    assert json.loads(_get(served, "/gradio_api/info")[1])["named_endpoints"] == {}


def test_files_of_this_pc_are_not_served(served: app.Running) -> None:
    for path in ("/etc/passwd", str(Path(__file__).resolve()), str(served.studio.settings.home)):
        assert _get(served, f"/gradio_api/file={path}")[0] in (403, 404)


def test_a_taken_port_moves_to_the_next_free_one(
    served: app.Running, settings: Settings
) -> None:
    taken = int(urlsplit(served.url).port or 0)
    again = app.start_app(settings, port=taken)
    try:
        assert int(urlsplit(again.url).port or 0) > taken
    finally:
        again.close()


def test_the_page_is_up_before_the_slow_libraries(settings: Settings, tmp_path: Path) -> None:
    import subprocess
    import sys

    code = (
        "import sys\nfrom pathlib import Path\nfrom studio.settings import Settings\n"
        "from studio.ui.app import build_app\nfrom studio.ui.studio import Studio\n"
        f"build_app(Studio(Settings(home=Path({str(tmp_path)!r}), offline=True)))\n"
        "slow = {'torch', 'transformers', 'peft', 'trl', 'datasets', 'bitsandbytes'}\n"
        "print(sorted(slow & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True,
                          cwd=Path(__file__).parents[2])
    assert done.stdout.strip().splitlines()[-1] == "[]"


def test_errors_reach_the_page_as_escaped_text() -> None:
    error = DataError("No file <img src=x onerror=alert(1)>.", "Choose <another>.")
    shown = guard.error_html(error)
    assert "<img" not in shown and "&lt;img" in shown
    assert "&lt;another&gt;" in shown


def test_a_persons_mistake_leaves_the_page_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(gr, "Warning", lambda text, **options: said.append(text))

    @guard.guarded
    def start() -> str:
        raise BusyError("A run is training.", "Stop it first.")

    @guard.guarded
    def stream() -> Iterator[str]:
        yield "a word"
        raise BusyError("A run is training.", "Stop it first.")

    assert start() == gr.skip()
    assert list(stream()) == ["a word", gr.skip()]
    assert said == ["A run is training.<br><em>Stop it first.</em>"] * 2


def test_a_mistake_of_the_program_is_not_hidden() -> None:
    @guard.guarded
    def broken() -> str:
        raise KeyError("rank")

    with pytest.raises(KeyError):
        broken()


def test_the_header_tells_device_memory_and_job() -> None:
    shown = header.view(header.Pulse(
        device="RTX <4090>", used_bytes=6_000_000_000, total_bytes=24_000_000_000,
        job="orders-1", state="Training", step=12, total_steps=48, seconds_left=75.0,
    ))
    for text in ("RTX &lt;4090&gt;", "6.0 GB of 24.0 GB", "orders-1", "12 / 48",
                 "1 min 15 s left", "width:25%"):
        assert text in shown


def test_a_mistake_in_the_recipe_stands_in_the_plan() -> None:
    shown = plan.view(Reading(problem=DataError("<rank> is 0.", "Raise it.")))
    assert "&lt;rank&gt; is 0." in shown


def test_a_part_is_made_once_however_many_ask(settings: Settings) -> None:
    import threading

    studio = Studio(settings)
    found: list[Any] = []
    barrier = threading.Barrier(8)

    def ask() -> None:
        barrier.wait()
        found.append(studio.tasks)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(one) for one in found}) == 1


def test_closing_ends_the_server_and_frees_its_port(settings: Settings) -> None:
    running = app.start_app(settings, port=0)
    port = int(urlsplit(running.url).port or 0)
    assert _get(running, "/")[0] == 200
    running.close()
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            _get(running, "/")
        except OSError:
            assert is_free(port)
            return
        time.sleep(0.1)
    raise AssertionError("the server still answers")


def test_what_is_learned_of_the_data_leaves_a_proposal_where_it_is(page: gr.Blocks) -> None:
    ids = {block.elem_id: block._id for block in page.blocks.values()
           if getattr(block, "elem_id", None)}
    refreshing = [event["outputs"] for event in page.config["dependencies"]
                  if ids["memory-estimate"] in event["outputs"]]
    with_proposal = [outputs for outputs in refreshing if ids["fit-proposal"] in outputs]
    # After the data was read, and after an edit of what is read; all others change the form.
    assert len(refreshing) - len(with_proposal) == 2
    assert all(ids["fit-apply"] in outputs for outputs in with_proposal)
