"""Load and temperature of runs on the page, and pages that no failing driver breaks."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from studio.device import Device
from studio.hardware.disk import disk_needs
from studio.hardware.free_now import FreeNow, Holder
from studio.hardware.memory import estimate
from studio.hardware.probe import probe
from studio.hardware.telemetry import FILE_NAME, Sample, Sampler
from studio.presets import starter_recipe
from studio.runs import create_run
from studio.settings import Settings
from studio.ui import charts_telemetry as charts
from studio.ui.disk_card import disk_card
from studio.ui.panels import before_start, hardware, train_run, train_view
from studio.ui.reading import Reading
from studio.ui.recordings import Recordings
from studio.ui.studio import Studio
from tests.hardware.fake_nvml import FUNCTIONS, GPU_IS_LOST, NOT_SUPPORTED, Card, FakeNvml
from tests.hardware.pcs import pc
from tests.hardware.shapes import shape_of

GB = 10**9


def sample(second: float, with_gpu: bool = True, **values: object) -> Sample:
    gpu = {"gpu_name": "RTX", "gpu_used_bytes": 3 * GB, "gpu_total_bytes": 12 * GB,
           "gpu_utilization_percent": 90, "gpu_temperature_celsius": 61,
           "gpu_power_watts": 140.0} if with_gpu else {}
    usual = {"time": 1000.0 + second, "cpu_percent": 50.0, "ram_used_bytes": 8 * GB,
             "ram_total_bytes": 16 * GB, "rss_bytes": 2 * GB, **gpu}
    return Sample(**{**usual, **values})  # type: ignore[arg-type]


def curves(samples: list[Sample], **options: int) -> dict[str, list]:
    figure = charts.telemetry_figure(samples, **options)
    assert figure is not None
    return {re.findall("<extra>(.*)</extra>", trace.hovertemplate)[0]: list(trace.y)
            for trace in figure.data}


def test_the_chart_has_load_memory_temperature_and_power() -> None:
    found = curves([sample(second) for second in range(10)])
    assert {name: values[0] for name, values in found.items()} == {
        "GPU": 90, "processor": 50, "GPU memory": 3, "PC memory": 8, "of it this program": 2,
        "temperature": 61, "power": 140}


def test_without_a_gpu_its_curves_are_not_there() -> None:
    assert set(curves([sample(second, with_gpu=False) for second in range(10)])) == {
        "processor", "PC memory", "of it this program"}
    assert charts.telemetry_figure([sample(0)]) is None


def test_a_gpu_that_was_lost_leaves_a_gap() -> None:
    found = curves([sample(second, with_gpu=second < 5) for second in range(10)])
    assert found["temperature"][4] == 61 and found["temperature"][5] is None
    assert None not in found["processor"]


def test_a_long_run_is_drawn_with_few_points_and_no_peak_of_memory_is_lost() -> None:
    samples = [sample(second) for second in range(5000)]
    samples[2222] = replace(samples[2222], gpu_used_bytes=11 * GB)
    found = curves(samples, max_points=100)
    assert {len(values) for values in found.values()} == {100}
    assert max(found["GPU memory"]) == 11


def test_pauses_between_two_parts_of_a_run_take_no_room_on_the_axis() -> None:
    samples = [sample(second) for second in range(60)]
    samples += [sample(100_000 + second) for second in range(60)]
    figure = charts.telemetry_figure(samples)
    assert figure is not None
    assert figure.data[0].x[-1] == pytest.approx(119 / 60, rel=0.01)


def test_recordings_grow_with_their_file_and_few_are_kept(settings: Settings) -> None:
    recordings = Recordings()
    assert recordings.of(None) == []
    runs = [create_run(settings, starter_recipe(), f"run{n}") for n in range(6)]
    assert recordings.of(runs[0]) == []
    for second in range(3):
        with (runs[0].path / FILE_NAME).open("a", encoding="utf-8") as file:
            file.write(json.dumps(sample(second).to_dict()) + "\n")
        assert len(recordings.of(runs[0])) == second + 1
    for run in runs[1:]:
        recordings.of(run)
    assert len(recordings.of(runs[0])) == 3


def test_the_train_tab_shows_what_the_chosen_run_recorded(settings: Settings) -> None:
    studio = Studio(settings)
    run = create_run(settings, starter_recipe(), "orders")
    run.append("state", state="done")
    assert not train_run.view(train_run.look(studio, ""))["load_box"][1]().visible
    (run.path / FILE_NAME).write_text("".join(
        json.dumps(sample(second).to_dict()) + "\n" for second in range(25)), encoding="utf-8")
    shown = train_run.view(train_run.look(studio, ""))
    assert shown["load_box"][1]().visible
    assert '"temperature"' in shown["load"][1]()
    assert shown["load"][0] == ("orders", 25)


def reading_with(free: FreeNow) -> Reading:
    recipe, shape = starter_recipe(), shape_of("starter")
    found = estimate(recipe, shape, free.device, free_bytes=free.free_bytes)
    return Reading(recipe=recipe, shape=shape, estimate=found, free=free, device=free.device,
                   free_bytes=free.free_bytes)


def test_before_the_start_the_page_says_who_holds_the_memory() -> None:
    gpu = Device("cuda", "RTX", "bfloat16", 12 * GB)
    tight = reading_with(FreeNow(gpu, 600_000_000, (Holder("game<1>", 9 * GB),)))
    shown = before_start.reading_view(tight)
    assert "note-problem" in shown
    assert "game&lt;1&gt; 9.0 GB" in shown
    assert "closed it fits" in shown
    roomy = before_start.reading_view(reading_with(FreeNow(gpu, 11 * GB)))
    assert "note-good" in roomy and "Fits comfortably" in roomy
    assert before_start.reading_view(Reading()) == ""


def test_the_comparison_follows_what_is_free_until_a_run_takes_it(settings: Settings) -> None:
    from studio.device import pick_device

    studio, device = Studio(settings), pick_device()
    found = estimate(starter_recipe(), shape_of("starter"), device)
    assert "free" in before_start.now_view(studio, found, device)
    assert before_start.now_view(studio, None, None) == ""


def test_the_disk_card_names_parts_and_drives(settings: Settings) -> None:
    recipe, shape = starter_recipe(), shape_of("starter")
    needs = disk_needs(recipe, shape, settings, is_here=True)
    shown = disk_card(Reading(recipe=recipe, disk=needs))
    for words in ("Download", "on this PC already", "Checkpoints", "Merged model", "GGUF",
                  "note-good"):
        assert words in shown
    full = replace(needs, drives=tuple(replace(drive, free_bytes=1) for drive in needs.drives))
    assert "note-problem" in disk_card(Reading(recipe=recipe, disk=full))
    assert "Working out" in disk_card(Reading())


@pytest.mark.parametrize("error", [GPU_IS_LOST, NOT_SUPPORTED])
@pytest.mark.parametrize("function", FUNCTIONS)
def test_no_single_nvml_function_that_fails_breaks_the_page(
    settings: Settings, tmp_path: Path, function: str, error: int
) -> None:
    from studio.hardware.doctor import judge

    def library() -> FakeNvml:
        cards = (Card(), Card(slices=[Card(name="slice")]), Card(driver_model=0))
        return FakeNvml(*cards, failing={function: error})

    found = probe(tmp_path, nvml_library=library())
    assert "Processor" in hardware.parts_view(found)
    assert found.verdict in hardware.verdict_view(found)
    now = Sampler(library()).sample()
    assert "Processor" in hardware.live_view(now)
    assert "Processor" in train_view.telemetry_view(now)
    assert "note" in hardware.checks_view(judge(pc(settings, nvml=library())))
