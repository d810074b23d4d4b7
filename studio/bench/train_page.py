"""The page beside a training that uses every core: does it answer, and what does it cost?

Starts the studio as a person does, opens it in a Chromium, opens the recipe, presses Start, and
while it trains switches tabs and moves a slider. Then the page is shut and opened again in turn,
and the steps with it are compared with those without. Needs playwright and a Chromium.
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from studio.bench.data import write_conversations
from studio.bench.processor_watch import watch_beside
from studio.bench.train_process import bench_recipe, told
from studio.bootstrap.chromium import find_chromium
from studio.bootstrap.ports import HOST, next_free_port
from studio.child import Child, studio_module
from studio.errors import SetupError
from studio.progress import Progress, Step
from studio.recipe import recipe_to_yaml
from studio.runs import Run, list_runs
from studio.settings import Settings
from studio.story import FINAL_STATES
from studio.training.control import leave_request

_STEPS = 400
"""More than the bench waits for; it stops the run itself."""
_WORDS_PER_ANSWER = (60, 60)
_START_SECONDS = 120
_PATIENCE_SECONDS = 180
_TABS = ("LoRA", "Dataset", "Train", "Chat", "Hardware")
_RANKS = (8, 24, 12, 32, 16)
_ROUNDS = 2
_LOOK_SECONDS = 0.05
_STEPS_APART = 4
"""Steps with the page, then so many without; two in which it changes count for neither. Even, since
a page looks every other step (`ui/pace.py`): in an odd window it would look once more, or less."""

_SWITCH_TAB = """async title => {
    const begin = performance.now();
    const tab = [...document.querySelectorAll('#tabs > .tab-wrapper [role=tab]')]
        .find(one => one.textContent.trim() === title);
    tab.click();
    const frame = () => new Promise(done => requestAnimationFrame(done));
    const shown = () => document.querySelector('#tab-' + title.toLowerCase());
    while (!shown() || !shown().offsetHeight) { await frame(); }
    await frame();
    return performance.now() - begin;
}"""
_MOVE_SLIDER = """async rank => {
    const slider = document.querySelector('#field-adapter-rank input[type=range]');
    const card = document.querySelector('#lora-count');
    const before = card.textContent;
    const begin = performance.now();
    const set = Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, 'value').set;
    set.call(slider, rank);
    slider.dispatchEvent(new Event('input', {bubbles: true}));
    const frame = () => new Promise(done => requestAnimationFrame(done));
    while (card.textContent === before) {
        if (performance.now() - begin > 20000) { throw new Error('the count did not change'); }
        await frame();
    }
    await frame();
    return performance.now() - begin;
}"""


@dataclass(frozen=True)
class PageBench:
    """What was measured. Milliseconds to the repaint, as the browser saw them.

    `page_answer_ms` is the median of the slower kind, `page_answer_worst_ms` the slowest single
    one, first visits of a tab included. `studio_overhead` is what training lacks while a page
    shows it: the share of all cores that the browser, the page's server and the telemetry take,
    and the share of a step's time that goes into events. Without a page it is `own_overhead`.
    Seconds of steps with and without a page are for comparison; a few steps tell them only to some
    hundredths. Seconds from pressing Start to the beginning of the first step, with the libraries
    loaded and then with the model kept. All None where there is no browser, and then `why_not`
    says so.
    """

    tab_switch_ms: tuple[float, ...] = ()
    slider_ms: tuple[float, ...] = ()
    page_answer_ms: float | None = None
    page_answer_worst_ms: float | None = None
    studio_overhead: float | None = None
    own_overhead: float | None = None
    with_page_seconds: tuple[float, ...] = ()
    without_page_seconds: tuple[float, ...] = ()
    pressing_start_seconds: float | None = None
    pressing_start_again_seconds: float | None = None
    why_not: str = ""


def measure_page(
    request: dict[str, Any], home: Path, *, quick: bool, progress: Progress
) -> PageBench:
    """Measure it in `home`, an empty folder. Takes a minute or two."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return PageBench(why_not="The page was not measured: playwright is not installed here.")
    executable = find_chromium()
    if executable is None:
        return PageBench(why_not="The page was not measured: there is no Chromium on this PC.")
    progress(Step("The page beside a training"))
    file = _recipe_file(request, home)
    with _served(home) as (url, process), sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=str(executable),
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"])
        try:
            page = browser.new_page(viewport={"width": 1440, "height": 1000})
            page.set_default_timeout(_PATIENCE_SECONDS * 1000)
            return _Visit(page, url, process, Settings(home=home)).measure(file, pairs=1 if quick
                                                                           else 4)
        finally:
            browser.close()


def _recipe_file(request: dict[str, Any], home: Path) -> Path:
    """The bench's recipe on rows of nearly the same length, so that steps can be compared."""
    data = home / "even.jsonl"
    write_conversations(data, 4 * _STEPS, words_per_answer=_WORDS_PER_ANSWER, most_turns=1)
    recipe = bench_recipe({**request, "data": str(data), "steps": _STEPS})
    file = home / "recipe.yaml"
    file.write_text(recipe_to_yaml(recipe), encoding="utf-8")
    return file


@contextmanager
def _served(home: Path) -> Iterator[tuple[str, psutil.Process]]:
    """The studio in a process of its own: where it answers, and the process."""
    port, _ = next_free_port(0)
    url = f"http://{HOST}:{port}/"
    arguments = ("serve", "--no-browser", "--offline", "--port", str(port), "--home", str(home))
    with Child(studio_module("studio.cli", *arguments), cwd=home) as child:
        _wait_until(lambda: _answers(url) or child.has_ended(_LOOK_SECONDS), _START_SECONDS)
        if child.has_ended(0):
            raise SetupError(f"The studio did not start: {child.last_words}", child.said)
        yield url, psutil.Process(child.process_id)


def _answers(url: str) -> bool:
    import httpx

    try:
        return httpx.get(url, timeout=10).status_code == 200
    except httpx.HTTPError:
        return False


@dataclass
class _Visit:
    """One browser's visit."""

    page: Any
    url: str
    process: psutil.Process
    settings: Settings
    _runs: set[str] = field(default_factory=set)

    def measure(self, recipe: Path, *, pairs: int) -> PageBench:
        self._open(recipe)
        self._wait_until_idle()
        run, first = self._press_start()
        _wait_until(lambda: run.story().step >= 2, _PATIENCE_SECONDS)
        tabs = [self.page.evaluate(_SWITCH_TAB, title) for _ in range(_ROUNDS) for title in _TABS]
        self.page.evaluate(_SWITCH_TAB, "LoRA")
        sliders = [self.page.evaluate(_MOVE_SLIDER, rank) for _ in range(_ROUNDS)
                   for rank in _RANKS]
        with_page, without, beside = self._in_turn(run, pairs)
        events = told(run)["outside_steps"]
        leave_request(run, "stop")
        _wait_until(lambda: run.story().state in FINAL_STATES, _PATIENCE_SECONDS)
        self._open(recipe)
        self._wait_until_idle()
        run, again = self._press_start()
        return PageBench(
            tab_switch_ms=tuple(tabs), slider_ms=tuple(sliders),
            page_answer_ms=max(statistics.median(tabs), statistics.median(sliders)),
            page_answer_worst_ms=max(*tabs, *sliders),
            studio_overhead=_overhead(beside[0], events), own_overhead=_overhead(beside[1], events),
            with_page_seconds=tuple(with_page), without_page_seconds=tuple(without),
            pressing_start_seconds=first, pressing_start_again_seconds=again)

    def _open(self, recipe: Path | None = None) -> None:
        """The Train tab, with a recipe opened where one is given."""
        self.page.goto(self.url)
        self.page.get_by_role("tab", name="Train").click()
        self.page.locator("#train-start").wait_for()
        if recipe is None:
            return
        with self.page.expect_file_chooser() as chooser:
            self.page.locator("#recipe-open").click()
        chooser.value.set_files(str(recipe))
        self.page.wait_for_function(
            "steps => document.querySelector('#field-training-max-steps input[type=number]')"
            "?.value === String(steps)", arg=_STEPS)

    def _press_start(self) -> tuple[Run, float]:
        """Press it, and wait for the first step: the run, and how long until that step began."""
        self.page.evaluate(_SWITCH_TAB, "Train")
        pressed = time.time()
        self.page.locator("#train-start").click()
        _wait_until(lambda: self._new_run() is not None, _PATIENCE_SECONDS)
        run = self._new_run()
        assert run is not None
        self._runs.add(run.name)
        _wait_until(lambda: run.story().step >= 1 or run.story().state in FINAL_STATES,
                    _PATIENCE_SECONDS)
        error = run.story().error
        if error is not None:
            raise SetupError(*error)
        return run, told(run)["began"] - pressed

    def _new_run(self) -> Run | None:
        return next((run for run in list_runs(self.settings) if run.name not in self._runs), None)

    def _in_turn(
        self, run: Run, pairs: int
    ) -> tuple[list[float], list[float], tuple[list[float], list[float]]]:
        """With the page open on the run, and with no page: seconds per step, and what others took
        of the processor meanwhile."""
        self.page.evaluate(_SWITCH_TAB, "Train")
        steps: tuple[list[float], list[float]] = ([], [])
        beside: tuple[list[float], list[float]] = ([], [])
        for number in range(2 * pairs):
            without = number % 2
            if without:
                self.page.goto("about:blank")
            elif number:
                self._open()
            _next_steps(run, 1)  # while what was opened or shut is still at work
            share = watch_beside(self.process)
            steps[without].extend(_next_steps(run, _STEPS_APART))
            if share is not None:
                beside[without].append(share())
        return *steps, beside

    def _wait_until_idle(self) -> None:
        """Until the studio has loaded its libraries, or released a model."""
        self.process.cpu_percent()
        for _ in range(_START_SECONDS):
            time.sleep(1)
            if self.process.cpu_percent() < 20:
                return


def _overhead(shares: list[float], events: float) -> float | None:
    return statistics.median(shares) + events if shares else None


def _next_steps(run: Run, count: int) -> list[float]:
    """Seconds of each of the next whole steps."""
    first = run.story().step
    last = first + count
    _wait_until(lambda: run.story().step >= last, _PATIENCE_SECONDS)
    times = {event["step"]: event["time"] for event in run.events() if event["type"] == "log"}
    return [times[now] - times[before]
            for before, now in itertools.pairwise(range(first, last + 1))]


def _wait_until(is_so: Callable[[], bool], seconds: float) -> None:
    """Raises SetupError where it takes longer."""
    end = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > end:
            raise SetupError(f"The bench of the page waited {seconds:.0f} seconds in vain.",
                             "Run it again while nothing else keeps this PC busy.")
        time.sleep(_LOOK_SECONDS)
