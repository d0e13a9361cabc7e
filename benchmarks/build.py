# Compiles the C parts on the spot into benchmarks/build/, and only when a source is newer.

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).resolve().parent
BUILD: Final = HERE / "build"
FLAGS: Final = ["-O2", "-std=gnu11", "-D_GNU_SOURCE", "-Wall", "-Wextra"]


def compiler() -> str | None:
    """The C compiler of this machine: $CC, cc, gcc or clang; None if there is none."""
    for name in (os.environ.get("CC", "cc"), "cc", "gcc", "clang"):
        if found := shutil.which(name):
            return found
    return None


def compile_c(name: str, sources: list[str]) -> Path:
    """Make the program `name` from C sources (paths below benchmarks/); returns where it is.

    Raises:
      RuntimeError: no compiler, or it refused; the text is the compiler's.
    """
    paths = [HERE / source for source in sources]
    target = BUILD / name
    headers = [header for path in paths for header in path.parent.glob("*.h")]
    newest = max(path.stat().st_mtime for path in [*paths, *headers])
    if target.exists() and target.stat().st_mtime >= newest:
        return target
    cc = compiler()
    if cc is None:
        raise RuntimeError(f"no C compiler: {name} cannot be built")
    BUILD.mkdir(exist_ok=True)
    scratch = BUILD / f"{name}.{os.getpid()}"  # a run at the same time never sees half a file
    command = [cc, *FLAGS, "-o", str(scratch), *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}\n{done.stderr}")
    scratch.rename(target)
    return target


def load_generator() -> Path:
    """The load generator in C, compiled if need be."""
    return compile_c("load", [f"load/{path.name}" for path in sorted((HERE / "load").glob("*.c"))])
