"""The wheel, as somebody meets it who has nothing else: no repository, an empty folder."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import tomllib
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BIN = "Scripts" if os.name == "nt" else "bin"


class Installed:
    """An environment with the wheel in it, and an empty folder to call it from."""

    def __init__(self, place: Path) -> None:
        self.folder = place / "empty"
        self.folder.mkdir()
        self.environment = place / "environment"
        self.wheel = place / "wheel"
        pip = [sys.executable, "-m", "pip", "wheel", "--no-deps", "-w", str(self.wheel), str(ROOT)]
        subprocess.run(pip, check=True, capture_output=True)
        venv.create(self.environment, with_pip=True)

    def install(self, extras: str = "") -> None:
        """Install the wheel, with extras if some are named."""
        (wheel,) = self.wheel.iterdir()
        self.run("pip", "install", f"{wheel}{extras}").check_returncode()

    def run(self, program: str, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Run a program of the environment in the empty folder."""
        return subprocess.run(
            [str(self.environment / BIN / program), *arguments],
            cwd=self.folder,
            env=self.variables(**more),
            capture_output=True,
            encoding="utf-8",
            timeout=120,
            check=False,
        )

    def variables(self, **more: str) -> dict[str, str]:
        """An environment in which nothing leads back to the repository."""
        ours = ("PYTHONPATH", "PYTHONIOENCODING", "PYTHONUTF8", "WSOCK_ENGINE", "WSOCK_HINTS")
        return {name: text for name, text in os.environ.items() if name not in ours} | more


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The wheel without any extra."""
    installed = Installed(tmp_path_factory.mktemp("bare"))
    installed.install()
    return installed


@pytest.fixture(scope="module")
def installed(bare: Installed) -> Installed:
    """The wheel with the command and the login server; after the tests of the bare one."""
    bare.install("[cli,server,win32]")
    return bare


def test_without_the_extra_the_command_says_how_to_get_it(bare: Installed) -> None:
    """One line and exit code 1; the library itself works."""
    if bare.run("python", "-c", "import click").returncode == 0:
        pytest.skip("the extra is installed by now: run the file in its order")
    done = bare.run("wsock", "doctor")
    assert done.returncode == 1
    assert done.stdout.count("\n") == 1
    assert 'pip install "wsock[cli]"' in done.stdout
    assert done.stderr == ""
    done = bare.run(
        "python", "-c", "import wsock, sys; print(wsock.__file__, 'click' in sys.modules)"
    )
    assert "environment" in done.stdout
    assert done.stdout.endswith(" False\n")


def test_the_demo_says_what_it_needs(bare: Installed) -> None:
    """With the command alone the login server's packages are named, in one line."""
    bare.install("[cli]")
    if bare.run("python", "-c", "import sqlalchemy").returncode == 0:
        pytest.skip("the extra is installed by now: run the file in its order")
    done = bare.run("wsock", "demo")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert 'pip install "wsock[server]"' in done.stderr


def test_doctor(installed: Installed) -> None:
    """Everything that is needed is there."""
    done = installed.run("wsock", "doctor")
    assert (done.returncode, done.stderr) == (0, "")
    assert "ok    the login server (extra server)" in done.stdout


def test_explain(installed: Installed) -> None:
    """The page of an event."""
    done = installed.run("wsock", "explain", "FD_READ")
    assert done.returncode == 0
    assert "Re-enabled by: recv" in done.stdout


def test_demo(installed: Installed) -> None:
    """The login server and its client, to a good end."""
    done = installed.run("wsock", "demo")
    assert done.returncode == 0, done.stderr
    assert "OK" in done.stdout


def test_an_example_is_copied_and_runs(installed: Installed) -> None:
    """``wsock examples copy echo .`` and the server and client of the copy."""
    done = installed.run("wsock", "examples", "copy", "echo", ".")
    assert done.returncode == 0
    assert "python -m echo" in done.stderr
    python = str(installed.environment / BIN / "python")
    server = subprocess.Popen(
        [python, "-m", "echo", "message", "0"],
        cwd=installed.folder,
        env=installed.variables(),
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )
    try:
        assert server.stderr is not None
        port = int(re.findall(r"port (\d+)", server.stderr.readline())[0])
        done = installed.run("python", "-m", "echo.client", str(port), "hello", "again")
        assert (done.returncode, done.stdout) == (0, "hello\nagain\n")
        with socket.create_connection(("127.0.0.1", port), timeout=30) as plain:
            plain.sendall(b"and nc")
            assert plain.recv(100) == b"and nc"
    finally:
        server.terminate()
        server.communicate()


def test_every_example_runs_where_it_was_copied_to(installed: Installed) -> None:
    """None of them needs its neighbours or the repository."""
    names = [line.split()[0] for line in installed.run("wsock", "examples").stdout.splitlines()]
    assert {"chat", "echo", "login_server", "traps", "udp_time", "win32"} <= set(names)
    for name in names:
        if not (installed.folder / name).exists():
            installed.run("wsock", "examples", "copy", name, ".").check_returncode()
        if (installed.folder / name / "__main__.py").is_file():
            done = installed.run("python", "-m", name, "--help")
            assert (done.returncode, done.stderr) == (0, ""), name
    done = installed.run("python", "-W", "error", "-m", "traps", "select_replaces")
    assert (done.returncode, done.stderr) == (0, "")
    assert "right: b'hello' has come: FD_READ" in done.stdout


@pytest.mark.parametrize("console", ["cp949", "ascii:strict"])
def test_any_console_can_show_it(installed: Installed, console: str) -> None:
    """What the command prints is ASCII, whatever the console's code page can do."""
    for arguments in (
        ["--help"],
        ["doctor"],
        ["explain"],
        ["explain", "FD_WRITE"],
        ["explain", "TDI_SEND"],
        ["explain", "10054"],
        ["examples"],
        ["examples", "show", "traps"],
        ["scenario"],
        ["scenario", "handshake"],
        ["demo"],
        ["tdimon", "--help"],
    ):
        done = installed.run("wsock", *arguments, PYTHONIOENCODING=console)
        assert done.returncode == 0, done.stderr
        assert (done.stdout + done.stderr).isascii(), arguments
    done = installed.run("wsock", "explain", "Schl\u00fcssel", PYTHONIOENCODING=console)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_the_promises_of_the_metadata() -> None:
    """No upper bound on Python; every version that is claimed is one that CI runs, and more."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["requires-python"] == ">=3.11"
    claimed = re.findall(r"Python :: (3\.\d+)", " ".join(project["classifiers"]))
    workflow = (ROOT / ".github/workflows/test.yml").read_text(encoding="utf-8")
    assert claimed == ["3.11", "3.12", "3.13"]
    assert all(f'"{version}"' in workflow for version in (*claimed, "3.14"))
    assert all(f"{system}-latest" in workflow for system in ("ubuntu", "macos", "windows"))
