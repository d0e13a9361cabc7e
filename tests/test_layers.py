"""Who may import whom, read from the source: also imports inside functions, and for types only."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

import wsock

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(wsock.__file__).parent

# Each layer: the modules (or folders) it is made of, and the layers that it may import besides
# itself. The order is from below to above; the arrows point up only where this table says so.
BASIC = ("errors", "constants")
TOOLS = ("timers", "handles")
NOTIFY = ("window", "event")
ENGINE = (*BASIC, *TOOLS, *NOTIFY, "tdi", "afd", "stack", "socket")
LAYERS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "errors": (("errors",), ()),
    "constants": (("constants",), ()),
    "timers": (("_timers",), ()),
    "handles": (("_handles",), ()),
    "filters": (("_filters",), ()),
    "tdi": (("tdi",), BASIC),
    "afd": (("afd",), (*BASIC, "tdi")),
    "window": (
        ("_window", "_window_timers", "_message", "_message_queue", "_message_loop"),
        (*BASIC, *TOOLS),
    ),
    "event": (("_event",), (*BASIC, *TOOLS)),
    "kernel": (("kernel",), (*BASIC, "timers", "tdi")),
    "virtual": (("virtual",), (*BASIC, "tdi", "filters")),
    "stack": (("_stack",), (*BASIC, "tdi", "afd")),
    "socket": (
        ("_socket", "_socket_control", "_socket_making", "_socket_waiting", "_hints"),
        (*BASIC, *TOOLS, *NOTIFY, "tdi", "afd", "stack"),
    ),
    "message_trace": (("_message_trace",), (*BASIC, "window", "tdi", "stack")),
    "tls": (("tls",), ("errors",)),
    "streams": (("_streams",), ENGINE),
    "processes": (
        ("_processes", "_listener_shutdown", "_worker", "_worker_process"),
        ENGINE,
    ),
    "async_socket": (("_async_socket", "_async_tls"), (*ENGINE, "tls")),
    "virtual_face": (
        (
            "virtual.__init__",
            "virtual.host",
            "virtual.passes",
            "virtual.pump",
            "virtual.testing",
            "virtual.trio_face",
        ),
        (*ENGINE, "virtual"),
    ),
    "options": (("_wire_options",), ()),
    "tdimon": (("tdimon",), (*BASIC, "tdi", "stack", "message_trace", "filters", "options")),
    "top": (("__init__",), (*ENGINE, "streams", "async_socket", "tls", "processes")),
    "win32": (
        ("win32",),
        (*ENGINE, "top", "kernel", "streams", "async_socket", "virtual", "virtual_face"),
    ),
    "plugins": (("_plugins",), ("virtual", "virtual_face", "tdimon")),
    "command": (
        ("__main__", "_cli", "_explain", "_run_command", "_script_hosts", "_script_process"),
        (
            *ENGINE, "top", "kernel", "virtual", "virtual_face", "tdimon", "win32", "examples",
            "options",
        ),
    ),
}

# The one upward import that design allows: the machine's provider is the default.
EXCEPTIONS = {("_stack", "kernel")}

TRIO_IN = {
    "errors", "timers", "handles", "window", "event", "kernel", "socket", "streams",
    "processes", "async_socket", "virtual_face", "win32", "command", "plugins",
}  # fmt: skip
# The modules that may import click and rich.
TERMINAL_IN = {"tdimon.cli", "tdimon.screen", "_cli", "_run_command", "_wire_options"}


class Import(NamedTuple):
    importer: str  # "tdi.address"
    line: int
    imported: str  # "errors" for our own, "trio" for others
    ours: bool


def module_name(path: Path) -> str:
    relative = path.relative_to(ROOT).with_suffix("")
    return ".".join(relative.parts)


MODULES = {module_name(path): path for path in sorted(ROOT.rglob("*.py"))}


def layer_of(module: str) -> str | None:
    """The layer whose table entry is the longest prefix of the module's name."""
    found: dict[int, str] = {}
    for layer, (members, _) in LAYERS.items():
        for member in members:
            if module == member or module.startswith(member + "."):
                found[len(member)] = layer
    return found[max(found)] if found else None


def resolve(importer: str, node: ast.ImportFrom) -> Iterator[tuple[str, bool]]:
    """What ``from x import a, b`` means: modules of ours by name below wsock, others as written."""
    base = node.module or ""
    if node.level:
        parts = importer.split(".")[: -node.level]
        base = ".".join([*parts, *([base] if base else [])])
    elif base == "wsock" or base.startswith("wsock."):
        base = base[len("wsock") :].lstrip(".")
    else:
        yield base, False
        return
    for alias in node.names:
        name = f"{base}.{alias.name}" if base else alias.name
        if name in MODULES or f"{name}.__init__" in MODULES:
            yield name, True
        else:
            package = f"{base}.__init__" if base else "__init__"
            yield (package if package in MODULES else base), True


def imports_of(module: str, path: Path) -> Iterator[Import]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            for name, ours in resolve(module, node):
                yield Import(module, node.lineno, name, ours)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                ours = alias.name.split(".")[0] == "wsock"
                name = alias.name.removeprefix("wsock").lstrip(".") if ours else alias.name
                yield Import(module, node.lineno, name or "__init__", ours)


IMPORTS = [entry for module, path in MODULES.items() for entry in imports_of(module, path)]


def test_every_module_has_a_layer() -> None:
    """A new file is put into the table above, or into a folder that is there."""
    assert [module for module in MODULES if layer_of(module) is None] == []


@pytest.mark.parametrize("module", MODULES)
def test_no_layer_imports_upward_or_past_another(module: str) -> None:
    """What a module imports is its own layer, or one that the table allows."""
    layer = layer_of(module)
    assert layer is not None
    allowed = {layer, *LAYERS[layer][1]}
    wrong = [
        f"{entry.importer}:{entry.line} imports {entry.imported} ({layer_of(entry.imported)})"
        for entry in IMPORTS
        if entry.importer == module
        and entry.ours
        and layer_of(entry.imported) not in allowed
        and (module, entry.imported.split(".")[0]) not in EXCEPTIONS
    ]
    assert wrong == []


def test_trio_is_imported_only_where_tasks_wait() -> None:
    """The sans-IO layers stay usable without any loop."""
    wrong = {
        entry.importer
        for entry in IMPORTS
        if not entry.ours
        and entry.imported.split(".")[0] == "trio"
        and layer_of(entry.importer) not in TRIO_IN
    }
    assert wrong == set()


def test_the_kernel_provider_is_imported_in_one_function() -> None:
    """Importing wsock does not import epoll; Stack.default() does when it is called."""
    tree = ast.parse(MODULES["_stack"].read_text(encoding="utf-8"))
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    for_types = [node for node in tree.body if isinstance(node, ast.If)]
    inside = [line for function in functions for line in kernel_imports(function)]
    elsewhere = set(kernel_imports(tree)) - set(inside)
    assert len(inside) == 1
    assert elsewhere == {line for block in for_types for line in kernel_imports(block)}


def kernel_imports(tree: ast.AST) -> list[int]:
    return [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        and any(name == "kernel.__init__" for name, _ in resolve("_stack", node))
    ]


def test_the_table_itself_has_no_circle() -> None:
    """Layers can be built one upon the other."""
    built: set[str] = set()
    while len(built) < len(LAYERS):
        ready = {
            layer
            for layer, (_, below) in LAYERS.items()
            if layer not in built and set(below) - {"examples"} <= built
        }
        assert ready, f"in a circle: {set(LAYERS) - built}"
        built |= ready


def test_terminal_libraries_stay_in_the_terminal() -> None:
    """click and rich belong to the extra "cli": nothing else may need them."""
    wrong = {
        entry.importer
        for entry in IMPORTS
        if not entry.ours
        and entry.imported.split(".")[0] in {"click", "rich"}
        and entry.importer not in TERMINAL_IN
    }
    assert wrong == set()
