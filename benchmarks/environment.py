# Where the servers run: an environment of their own with pinned peers, and what machine this is.
#
# All Python servers, wsock's too, run on the interpreter of .venv-bench, so no peer has a newer
# Python or another trio than wsock. wsock itself comes from this checkout (the working directory).

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from benchmarks.build import HERE, compiler

ROOT: Final = HERE.parent
VENV: Final = ROOT / ".venv-bench"
REQUIREMENTS: Final = HERE / "requirements.txt"


def ensure_environment() -> Path:
    """Make .venv-bench if it is missing or the pins have changed; returns its interpreter.

    Needs pip's usual package index the first time.

    Raises:
      RuntimeError: the peers could not be installed; the text is pip's.
    """
    python = VENV / "bin" / "python"
    if Path(sys.prefix) == VENV:  # `make bench` has made it, and runs in it
        return python
    stamp = VENV / "requirements.sha256"
    wanted = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted:
        return python
    print(f"Installing the peers into {VENV.name} ...", file=sys.stderr)
    command = [str(python), "-m", "pip", "install", "-q", "-r", str(REQUIREMENTS)]
    subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=True)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}\n{done.stderr}")
    stamp.write_text(wanted)
    return python


def cpus() -> tuple[int, int]:
    """The CPU of the server and the CPU of the load generator; equal if there is only one."""
    allowed = sorted(os.sched_getaffinity(0))
    return allowed[0], allowed[-1]


def describe(python: Path) -> dict[str, Any]:
    """Machine, kernel, the servers' interpreter, compiler and versions, as in every result."""
    server_cpu, load_cpu = cpus()
    return {
        "cpu": cpu_name(),
        "cpus": os.cpu_count(),
        "server_cpu": server_cpu,
        "load_cpu": load_cpu,
        "kernel": f"{platform.system()} {platform.release()}",
        "compiler": Path(compiler() or "none").name,
        "wsock": commit(),
        **installed(python),
    }


def cpu_name() -> str:
    """The model name in /proc/cpuinfo."""
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


# Run by the interpreter that runs the servers: the pins say what should be there.
TELL: Final = """
import json, platform, sys
from importlib import metadata
found = {}
for name in sys.argv[1:]:
    try:
        found[name] = metadata.version(name)
    except metadata.PackageNotFoundError:
        found[name] = "not installed"
python = f"{platform.python_implementation()} {platform.python_version()}"
print(json.dumps({"python": python, "versions": found}))
"""


def installed(python: Path) -> dict[str, Any]:
    """The interpreter `python`, and the versions of the pinned packages that it would import."""
    names = [
        line.partition("==")[0]
        for line in REQUIREMENTS.read_text().splitlines()
        if "==" in line and not line.startswith("#")
    ]
    told: dict[str, Any] = json.loads(
        subprocess.check_output([str(python), "-c", TELL, *names], text=True)
    )
    return told


def commit() -> str:
    """The commit of this checkout, with a + if files differ from it; "unknown" without git."""
    done = subprocess.run(
        ["git", "-C", str(ROOT), "describe", "--always", "--dirty=+"],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() or "unknown"
