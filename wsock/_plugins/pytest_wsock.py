# The plugin for pytest: the fixture ``virtual_network``.
#
# > pytest_wsock          THIS FILE: fixture, options, what is added to the report of a failed test
#   virtual.testing       LocalNetwork: knows no test framework
#
# pytest loads this at its start, in every environment that has wsock installed.
#
# Rule 1: at import it needs pytest alone. Nothing of the package is imported before a test asks for
#         the fixture; so this is a module beside the package, not in it.
# Rule 2: the network is attached around everything of a test's Trio run, its async fixtures
#         included. pytest-trio sets those up at once and in any order, so a fixture of our own
#         could not come first; the run that the marker ``trio`` names can. anyio's plugin keeps one
#         run for fixtures and test, and sets up fixtures in order: there a fixture attaches.
# Rule 3: a test that this cannot run in virtual time fails, and the text says what to write.

# ruff: noqa: ANN401  (other plugins' runners and tests take and return anything)

"""pytest plugin of wsock: run tests of Trio programs on a virtual network."""

from __future__ import annotations

import inspect
import random
import re
from contextlib import AsyncExitStack, ExitStack, contextmanager
from functools import partial, wraps
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Generator, Iterator

    from wsock.tdimon import Trace
    from wsock.virtual.testing import LocalNetwork

_NETWORK: Final[pytest.StashKey[LocalNetwork]] = pytest.StashKey()
_TRACE: Final[pytest.StashKey[Trace]] = pytest.StashKey()
_SHOWN: Final[pytest.StashKey[bool]] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("wsock", "virtual networks (wsock)")
    group.addoption(
        "--wsock-seed",
        metavar="N",
        default="0",
        help="seed of virtual networks; 'random' for another one in each session (default: 0)",
    )
    group.addoption(
        "--wsock-artifacts",
        metavar="DIR",
        default=None,
        help="keep packets (pcapng), ladder and TDI trace of each failed test in DIR",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Choose the seed, and describe the marker."""
    if config.option.wsock_seed == "random":
        config.option.wsock_seed = str(random.SystemRandom().getrandbits(32))
    config.addinivalue_line(
        "markers",
        "virtual_network(*, seed=None, profile='rfc', allow_real=()): how the fixture "
        "virtual_network is made: seed, profile of localhost, peers of real connections",
    )


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Show a seed that is not the usual one."""
    seed = config.option.wsock_seed
    return [] if seed == "0" else [f"wsock: --wsock-seed {seed}"]


# The fixture


@pytest.fixture
def virtual_network(request: pytest.FixtureRequest) -> Iterator[LocalNetwork]:
    """A virtual network with one host, ``localhost``, that is current wherever no other is.

    An async test (pytest-trio, or anyio's plugin with the trio backend) runs on it, unchanged and
    in virtual time; its own host names, faults and captures are those of ``wsock.virtual.Network``.
    A plain test runs a program by ``virtual_network.run(main)``.
    """
    item = request.node
    kind = _kind_of(request)
    network = item.stash[_NETWORK] = _make(item)
    with ExitStack() as stack:
        if request.config.option.wsock_artifacts:
            from wsock import tdimon

            item.stash[_TRACE] = stack.enter_context(tdimon.watch(network))
        if kind == "trio":
            stack.enter_context(_attached_by_marker(item))
        elif kind == "anyio":
            request.getfixturevalue("_virtual_network_attached")
        yield network


def _make(item: pytest.Item) -> LocalNetwork:
    from wsock.virtual.testing import LocalNetwork

    marker = item.get_closest_marker("virtual_network")
    options = dict(marker.kwargs) if marker else {}
    allowed = options.pop("allow_real", ())
    seed = options.pop("seed", None)
    if seed is None:
        text = item.config.option.wsock_seed
        seed = int(text) if re.fullmatch(r"-?\d+", text) else text
    network = LocalNetwork(seed, **options)
    if allowed:
        network.allow_real(*([allowed] if isinstance(allowed, str) else allowed))
    return network


def _kind_of(request: pytest.FixtureRequest) -> Literal["trio", "anyio", "plain"]:
    """Return who runs the test; refuse whom this cannot serve."""
    item = request.node
    function = getattr(item, "obj", None)
    handle = getattr(function, "hypothesis", None)
    if handle is not None:
        function = handle.inner_test
    if item.get_closest_marker("trio") is not None:
        return "trio"
    if "anyio_backend" in request.fixturenames:
        backend = request.getfixturevalue("anyio_backend")
        name = backend if isinstance(backend, str) else backend[0]
        if name != "trio":
            pytest.fail(
                f"virtual_network: this test runs on {name}, and the virtual network carries Trio "
                "programs. Let the fixture anyio_backend return ('trio', {'clock': MockClock()})",
                pytrace=False,
            )
        return "anyio"
    if inspect.iscoroutinefunction(function):
        pytest.fail(
            "virtual_network: nobody runs this async test in Trio. Install pytest-trio and mark "
            "it with pytest.mark.trio (or set trio_mode = true), or use anyio's plugin",
            pytrace=False,
        )
    return "plain"


@pytest.fixture(name="_virtual_network_attached")
async def _attached_by_fixture(request: pytest.FixtureRequest) -> AsyncIterator[None]:
    """Attach the network of an anyio test to its Trio run."""
    from wsock.virtual.testing import RealClockError

    async with AsyncExitStack() as stack:
        try:
            await stack.enter_async_context(request.node.stash[_NETWORK].attach())
        except RealClockError as error:
            pytest.fail(f"virtual_network: {error}", pytrace=False)
        yield


@contextmanager
def _attached_by_marker(item: pytest.Item) -> Iterator[None]:
    """Have pytest-trio run a test by a function that attaches its network first."""
    handle = getattr(item.obj, "hypothesis", None)  # type: ignore[attr-defined]
    if handle is not None:  # there pytest-trio takes no other function than trio.run
        with _attached_by_each_example(item, handle):
            yield
        return
    marks = item.iter_markers("trio")
    run = next((mark.kwargs["run"] for mark in marks if mark.kwargs.get("run")), None)
    marker = pytest.mark.trio(run=partial(_run, item, run or _usual_run(item.config)))
    item.add_marker(marker, append=False)
    try:
        yield
    finally:
        item.own_markers.remove(marker.mark)


def _run(item: pytest.Item, run: Any, fn: Any, **options: Any) -> Any:
    __tracebackhide__ = True
    return item.stash[_NETWORK].run_by(run, fn, **options)


def _usual_run(config: pytest.Config) -> Any:
    if config.getini("trio_run") == "qtrio":
        return import_module("qtrio").run
    import trio

    return trio.run


@contextmanager
def _attached_by_each_example(item: pytest.Item, handle: Any) -> Iterator[None]:
    inner = handle.inner_test

    @wraps(inner)
    async def attached(*args: Any, **kwargs: Any) -> None:
        __tracebackhide__ = True
        async with item.stash[_NETWORK].attach():
            await inner(*args, **kwargs)

    handle.inner_test = attached
    try:
        yield
    finally:
        handle.inner_test = inner


# Around a test


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Refuse real connections of a plain test too, where the network is never attached."""
    network = item.stash.get(_NETWORK, None)
    if network is None:
        return (yield)
    with network.without_real_connections():
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Forget the network when all is said about the test."""
    try:
        return (yield)
    finally:
        keys: tuple[pytest.StashKey[Any], ...] = (_NETWORK, _TRACE, _SHOWN)
        for key in keys:
            if key in item.stash:
                del item.stash[key]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what the network has seen when a test fails, and keep it if that is wanted."""
    report = yield
    network = item.stash.get(_NETWORK, None)
    if not report.failed or network is None or _SHOWN in item.stash:
        return report
    item.stash[_SHOWN] = True
    text = network.report()
    folder = item.config.option.wsock_artifacts
    if folder:
        place = Path(folder) / _file_name(item.nodeid)
        network.save(place)
        item.stash[_TRACE].save(place / "trace.jsonl")
        text += f"\nkept in {place}"
    report.sections.append(("virtual network", text))
    return report


def _file_name(nodeid: str) -> str:
    """Return a test's name as a folder, without what file systems do not like."""
    return re.sub(r"[^\w.\[\]=-]+", "_", nodeid.replace("::", "-"))[-200:]
