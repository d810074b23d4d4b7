"""launch.py as a person calls it: a real process, a real .venv, a tiny project, no network."""

from __future__ import annotations

import ast
import json
import os
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.bootstrap.tiny_checkout import REPOSITORY, TinyCheckout, make_torch

LAUNCH = REPOSITORY / "launch.py"


def test_launch_is_readable_by_a_python_of_2016() -> None:
    ast.parse(LAUNCH.read_text(encoding="utf-8"), feature_version=(3, 6))


def test_an_old_python_is_told_in_one_sentence_what_to_install() -> None:
    too_old = runpy.run_path(str(LAUNCH))["python_too_old"]
    assert too_old((3, 11, 0), "python") == too_old((3, 14, 2), "python") == ""
    sentence = too_old((3, 8, 10), "/usr/bin/python3")
    assert "3.11 or newer" in sentence and "3.8 (/usr/bin/python3)" in sentence
    assert "\n" not in sentence


def test_help_needs_nothing_installed_and_imports_nothing_installed(tmp_path: Path) -> None:
    code = f"""
import runpy, sys
sys.argv = ["launch.py", "--help"]
try:
    runpy.run_path({str(LAUNCH)!r}, run_name="__main__")
except SystemExit as ending:
    assert not ending.code
own = sys.stdlib_module_names | {{"studio", "__main__"}}
foreign = [name for name in sys.modules if name.split(".")[0] not in own]
assert not foreign, foreign
"""
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True,
                          encoding="utf-8", cwd=tmp_path, env={}, check=False)
    assert done.returncode == 0, done.stderr
    for verb in ("serve", "doctor", "train", "demo", "test"):
        assert f"  {verb} " in done.stdout


def test_the_bootstrap_imports_only_the_standard_library() -> None:
    for file in (LAUNCH, *(REPOSITORY / "studio" / "bootstrap").glob("*.py")):
        if file.name == "lock.py":
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module:
                names.append(node.module)
            for name in names:
                assert name.split(".")[0] in sys.stdlib_module_names | {"studio"}, (file, name)
                if name.startswith("studio."):
                    allowed = ("studio.bootstrap", "studio.errors", "studio.files")
                    assert name.startswith(allowed), (file, name)


def test_the_verbs_of_help_are_the_verbs_of_the_command_line() -> None:
    import typer.main

    from studio.bootstrap.verbs import TEST, VERBS
    from studio.cli.app import app

    group = typer.main.get_command(app)
    assert set(VERBS) - {TEST} == set(group.commands)  # type: ignore[attr-defined]


def test_a_wrong_verb_is_answered_before_anything_is_installed(bare_checkout: TinyCheckout) -> None:
    done = bare_checkout.launch("tran")
    assert done.returncode == 1
    assert "no verb 'tran'" in done.stderr and "Did you mean train?" in done.stderr
    assert not bare_checkout.venv.exists()


def test_the_first_start_installs_the_locked_versions_and_hands_over(
    bare_checkout: TinyCheckout,
) -> None:
    done = bare_checkout.launch("params", "my recipe.yaml", "--json", EXIT_CODE="3")
    assert done.returncode == 3, done.stderr
    answer = json.loads(done.stdout)  # nothing else on standard output
    assert answer["arguments"] == ["params", "my recipe.yaml", "--json"]
    assert Path(answer["prefix"]).resolve() == bare_checkout.venv.resolve()
    assert Path(answer["folder"]) == bare_checkout.root.parent
    assert "First start" in done.stderr and "Installed in" in done.stderr
    # 1.2 is there too, but the lock says 1.1.
    assert (bare_checkout.site_packages / "tiny_dep-1.1.dist-info").is_dir()
    assert "pip-temporary" not in {entry.name for entry in bare_checkout.venv.iterdir()}


def test_the_second_start_installs_nothing_and_says_nothing(checkout: TinyCheckout) -> None:
    log = checkout.venv / "install.log"
    before = log.read_bytes()
    for wheel in checkout.wheels.iterdir():
        wheel.unlink()
    done = checkout.launch()
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["arguments"] == ["serve"]
    assert log.read_bytes() == before


def test_options_without_a_verb_belong_to_serve(checkout: TinyCheckout) -> None:
    done = checkout.launch("--port", "7999", "--no-browser", "--offline")
    assert json.loads(done.stdout)["arguments"] == [
        "serve", "--port", "7999", "--no-browser", "--offline"]


def test_a_folder_named_studio_in_the_working_directory_is_not_imported(
    checkout: TinyCheckout, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere" / "studio").mkdir(parents=True)
    (tmp_path / "elsewhere" / "studio" / "__init__.py").write_text("raise SystemExit(9)")
    assert checkout.launch("runs", folder=tmp_path / "elsewhere").returncode == 0


def test_a_changed_lock_is_brought_up_to_date(checkout: TinyCheckout) -> None:
    lock = checkout.root / "requirements.lock"
    lock.write_text(lock.read_text().replace("tiny-dep==1.1", "tiny-dep==1.2"))
    done = checkout.launch("runs")
    assert done.returncode == 0 and "has changed" in done.stderr
    assert (checkout.site_packages / "tiny_dep-1.2.dist-info").is_dir()


def test_a_cut_short_file_and_lost_metadata_are_mended(checkout: TinyCheckout) -> None:
    site = checkout.site_packages
    (site / "tiny_dep" / "__init__.py").write_text("V =")
    (site / "torch-2.13.0.dist-info" / "RECORD").unlink()
    (site / "~iny_dep").mkdir()
    (checkout.venv / "adapter-studio.json").unlink()
    done = checkout.launch("runs")
    assert done.returncode == 0 and "not complete; going on" in done.stderr
    assert "V = '1.1'" in (site / "tiny_dep" / "__init__.py").read_text()
    assert (site / "torch-2.13.0.dist-info" / "RECORD").is_file()
    assert not (site / "~iny_dep").exists()


@pytest.mark.slow  # makes an environment anew, with ensurepip
def test_an_environment_without_pip_or_python_is_made_anew(checkout: TinyCheckout) -> None:
    (checkout.venv / "adapter-studio.json").write_text('{"fingerprints": ')  # a torn stamp
    for pip in checkout.site_packages.glob("pip*"):
        for file in sorted(pip.rglob("*"), reverse=True):
            file.rmdir() if file.is_dir() else file.unlink()
    done = checkout.launch("runs")
    assert done.returncode == 0, done.stderr
    assert checkout.launch("runs").stderr == ""


@pytest.mark.skipif(os.name != "posix", reason="a console closed on Windows ends pip as well")
def test_a_start_killed_in_the_middle_of_pip_is_taken_up_by_the_next(
    empty_checkout: TinyCheckout,
) -> None:
    (empty_checkout.root / "hold").write_text("")
    first = subprocess.Popen(empty_checkout.command("runs"), env=empty_checkout.variables(),
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not (empty_checkout.root / "reached").exists():
        assert first.poll() is None
        time.sleep(0.05)
    first.kill()
    first.wait()
    assert not (empty_checkout.venv / "adapter-studio.json").exists()
    (empty_checkout.root / "hold").unlink()
    done = empty_checkout.launch("runs")
    assert done.returncode == 0, done.stderr
    assert "not complete; going on" in done.stderr
    assert _is_whole(empty_checkout)


@pytest.mark.skipif(os.name != "posix", reason="Windows has no SIGINT to send to one process")
def test_ctrl_c_during_the_install_ends_in_a_sentence(empty_checkout: TinyCheckout) -> None:
    (empty_checkout.root / "hold").write_text("")
    start = subprocess.Popen(empty_checkout.command("runs"), env=empty_checkout.variables(),
                             stderr=subprocess.PIPE, encoding="utf-8", start_new_session=True)
    while not (empty_checkout.root / "reached").exists():
        assert start.poll() is None
        time.sleep(0.05)
    os.killpg(start.pid, signal.SIGINT)
    _, said = start.communicate(timeout=60)
    assert start.returncode == 130
    assert "Stopped." in said and "Traceback" not in said


def test_two_starts_at_once_install_once(empty_checkout: TinyCheckout) -> None:
    starts = [
        subprocess.Popen(empty_checkout.command("runs"), env=empty_checkout.variables(),
                         stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, encoding="utf-8")
        for _ in range(2)
    ]
    said = [start.communicate(timeout=300)[1] for start in starts]
    assert [start.returncode for start in starts] == [0, 0], said
    assert sum("Installed in" in text for text in said) == 1


def _is_whole(checkout: TinyCheckout) -> bool:
    return checkout.launch("runs").stderr == ""


def test_without_a_network_the_sentence_says_so(empty_checkout: TinyCheckout) -> None:
    done = empty_checkout.launch(
        "runs", PIP_NO_INDEX="0", PIP_FIND_LINKS="", PIP_INDEX_URL="http://127.0.0.1:9/",
        PIP_RETRIES="1",
    )
    assert done.returncode == 1
    assert "cannot be reached" in done.stderr and "Traceback" not in done.stderr
    assert done.stderr.count("Error:") == 1
    assert empty_checkout.launch("runs").returncode == 0  # the second call recovers


def test_a_python_without_ensurepip_is_told_which_package_to_install(
    bare_checkout: TinyCheckout,
) -> None:
    code = ("import runpy, sys; sys.modules['ensurepip'] = None; "
            f"sys.argv = ['launch.py', 'runs']; runpy.run_path({str(bare_checkout.root)!r} "
            "+ '/launch.py', run_name='__main__')")
    maker = getattr(sys, "_base_executable", sys.executable)
    done = subprocess.run([maker, "-c", code], capture_output=True,
                          encoding="utf-8", env=bare_checkout.variables(), check=False)
    assert done.returncode == 1
    assert "sudo apt install python3" in done.stderr and "Traceback" not in done.stderr
    assert bare_checkout.launch("--help").returncode == 0


def test_offline_never_installs(bare_checkout: TinyCheckout) -> None:
    done = bare_checkout.launch("--offline")
    assert done.returncode == 1 and "without --offline" in done.stderr
    assert not bare_checkout.venv.exists()


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_is_not_writable_is_named(bare_checkout: TinyCheckout) -> None:
    bare_checkout.root.chmod(0o555)
    done = bare_checkout.launch("runs")
    bare_checkout.root.chmod(0o755)
    assert done.returncode == 1 and "Cannot write to" in done.stderr


def test_a_file_where_the_environment_should_be_is_a_sentence(bare_checkout: TinyCheckout) -> None:
    bare_checkout.venv.write_text("")
    done = bare_checkout.launch("runs")
    assert done.returncode == 1
    assert "Cannot write to" in done.stderr and "Traceback" not in done.stderr


def test_an_active_environment_that_has_the_packages_is_used(
    bare_checkout: TinyCheckout, own_python: str
) -> None:
    _install_into(own_python, bare_checkout, "tiny-dep==1.0", "torch")
    done = bare_checkout.launch("runs", python=own_python)
    assert done.returncode == 0, done.stderr
    assert Path(json.loads(done.stdout)["prefix"]).name == "mine"
    assert not bare_checkout.venv.exists()


def test_an_unrelated_active_environment_is_passed_over_without_a_word(
    checkout: TinyCheckout, own_python: str
) -> None:
    done = checkout.launch("runs", python=own_python)
    assert Path(json.loads(done.stdout)["prefix"]).resolve() == checkout.venv.resolve()
    assert done.stderr == ""


def _install_into(python: str, checkout: TinyCheckout, *packages: str) -> None:
    subprocess.run([python, "-m", "pip", "install", "-q", *packages], check=True,
                   env=checkout.variables())


def test_an_nvidia_pc_gets_the_cuda_build_without_asking(empty_checkout: TinyCheckout) -> None:
    make_torch(empty_checkout.wheels, "2.13.0+cu126", "12.6")
    # A driver for CUDA 12: the plain wheel fits on no system, so the build must be fetched.
    empty_checkout.add_nvidia_driver("NVIDIA GeForce RTX 3060, 552.44, 8.6")
    done = empty_checkout.launch("runs")
    assert done.returncode == 0, done.stderr
    assert empty_checkout.torch_version() == "2.13.0+cu126"
    assert "build cu126" in done.stderr
    assert _is_whole(empty_checkout)


@pytest.mark.slow  # runs pip twice
def test_a_cpu_only_torch_from_a_mirror_is_replaced_in_the_same_start(
    empty_checkout: TinyCheckout,
) -> None:
    make_torch(empty_checkout.wheels, "2.13.0+cu130", "13.0")
    make_torch(empty_checkout.wheels, "2.13.0+zz", None)  # sorts first, as a mirror's might
    empty_checkout.add_nvidia_driver("NVIDIA GeForce RTX 5090, 590.12, 12.0")
    assert empty_checkout.launch("runs").returncode == 0
    assert empty_checkout.torch_version() == "2.13.0+cu130"


def test_a_cuda_build_that_cannot_be_fetched_is_said_at_every_start(
    empty_checkout: TinyCheckout,
) -> None:
    empty_checkout.add_nvidia_driver("NVIDIA GeForce RTX 5090, 590.12, 12.0")
    first = empty_checkout.launch("runs")
    second = empty_checkout.launch("runs")
    for done in (first, second):
        assert done.returncode == 0
        assert "python launch.py --torch cu130" in done.stderr
    make_torch(empty_checkout.wheels, "2.13.0+cu130", "13.0")
    assert empty_checkout.launch("--torch", "cu130", "runs").returncode == 0
    assert empty_checkout.torch_version() == "2.13.0+cu130"
    assert _is_whole(empty_checkout)


def test_one_old_package_in_an_active_environment_is_worth_a_word(
    checkout: TinyCheckout, own_python: str
) -> None:
    # Three dependencies, so that one missing is fewer than half.
    project = checkout.root / "pyproject.toml"
    project.write_text(project.read_text().replace('"torch>=2.13"', '"torch>=2.13", "pip>=20"'))
    _install_into(own_python, checkout, "torch")
    done = checkout.launch("runs", python=own_python)
    assert "lacks tiny-dep>=1,<2 (missing); using" in done.stderr
    assert Path(json.loads(done.stdout)["prefix"]).resolve() == checkout.venv.resolve()


def test_a_gpu_that_came_after_the_install_is_noticed(checkout: TinyCheckout) -> None:
    make_torch(checkout.wheels, "2.13.0+cu130", "13.0")
    checkout.add_nvidia_driver("NVIDIA GeForce RTX 5090, 590.12, 12.0")
    assert checkout.launch("runs").returncode == 0
    assert checkout.torch_version() == "2.13.0+cu130"


def test_whoever_chose_the_cpu_build_is_left_in_peace(empty_checkout: TinyCheckout) -> None:
    make_torch(empty_checkout.wheels, "2.13.0+cpu", None)
    empty_checkout.add_nvidia_driver("NVIDIA GeForce RTX 5090, 590.12, 12.0")
    assert empty_checkout.launch("--torch=cpu", "runs").returncode == 0
    assert _is_whole(empty_checkout)


def test_in_an_environment_of_ones_own_the_mending_command_is_said(
    bare_checkout: TinyCheckout, own_python: str
) -> None:
    _install_into(own_python, bare_checkout, "tiny-dep==1.0", "torch")
    bare_checkout.add_nvidia_driver("NVIDIA GeForce RTX 5090, 590.12, 12.0")
    done = bare_checkout.launch("runs", python=own_python)
    assert done.returncode == 0
    assert "RTX 5090 stays unused" in done.stderr and "torch==2.13.0+cu130" in done.stderr
