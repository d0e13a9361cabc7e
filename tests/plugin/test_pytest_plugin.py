"""The pytest plugin: unchanged Trio tests run on a virtual network, and say what they saw."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from wsock import tdimon
from wsock.virtual import testing  # noqa: F401  (pytester unloads what its runs have imported)

if TYPE_CHECKING:
    from pathlib import Path

pytest_plugins = ["pytester"]

#: A test file that knows nothing of virtual networks: only the mark was added.
UNCHANGED = """
import pytest
import trio

pytestmark = [pytest.mark.trio, pytest.mark.usefixtures("virtual_network")]


async def echo(stream):
    async for data in stream:
        await stream.send_all(data)


@pytest.fixture
async def port(nursery):
    listeners = await nursery.start(trio.serve_tcp, echo, 0)
    return listeners[0].socket.getsockname()[1]


async def test_echo(port):
    async with await trio.open_tcp_stream("localhost", port) as stream:
        await stream.send_all(b"hello")
        assert await stream.receive_some() == b"hello"
        assert "on localhost" in repr(stream.socket)


async def test_patience(port):
    start = trio.current_time()
    await trio.sleep(3600)
    assert trio.current_time() - start == 3600
"""

ANYIO = """
import anyio
import pytest
import trio

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("virtual_network")]


@pytest.fixture
def anyio_backend():
    return {backend}


@pytest.fixture
async def port(virtual_network):
    async with anyio.create_task_group() as group:
        listeners = await group.start(trio.serve_tcp, trio.aclose_forcefully, 0)
        yield listeners[0].socket.getsockname()[1]
        group.cancel_scope.cancel()


async def test_refused():
    with pytest.raises(OSError):
        await anyio.connect_tcp("localhost", 81)


async def test_client(port):
    stream = await anyio.connect_tcp("127.0.0.1", port)
    await anyio.sleep(3600)
    with pytest.raises(anyio.EndOfStream):
        await stream.receive()
    await stream.aclose()
"""


@pytest.fixture
def run(pytester: pytest.Pytester):  # noqa: ANN201
    """Run a test file, warnings as errors; the result."""

    def run(source: str, *options: str) -> pytest.RunResult:
        pytester.makepyfile(source)
        return pytester.runpytest_inprocess("-W", "error", "-p", "no:cacheprovider", *options)

    return run


def passed(result: pytest.RunResult, count: int) -> None:
    assert result.parseoutcomes() == {"passed": count}, result.stdout.str()


# Nothing before it is asked for


@pytest.mark.parametrize("warnings", [[], ["-W", "error"]])
def test_nothing_of_the_package_is_imported_until_the_fixture_is_asked_for(
    tmp_path: Path, warnings: list[str]
) -> None:
    """pytest loads the plugin at its start; the package, and Trio, come with the first use."""
    (tmp_path / "test_modules.py").write_text(
        "import sys\n"
        "def loaded(*names):\n"
        "    return [m for m in sys.modules if m.partition('.')[0] in names]\n"
        "def test_before():\n"
        "    assert 'pytest_wsock' in sys.modules\n"
        "    assert loaded('wsock', 'trio') == []\n"
        "def test_with_it(virtual_network):\n"
        "    assert 'wsock.virtual.testing' in loaded('wsock')\n"
    )
    others = ["-p", "no:trio", "-p", "no:anyio", "-p", "no:hypothesispytest"]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *others, *warnings]
    done = subprocess.run([*command, str(tmp_path)], capture_output=True, text=True, check=False)
    assert "2 passed" in done.stdout, done.stdout + done.stderr


# pytest-trio


def test_an_existing_file_runs_unchanged(run) -> None:  # noqa: ANN001
    """Its fixtures too; names, ports and time are the network's."""
    passed(run(UNCHANGED), 2)


def test_trio_mode_needs_no_marker(run, pytester: pytest.Pytester) -> None:  # noqa: ANN001
    """As pytest-trio has it."""
    pytester.makeini("[pytest]\ntrio_mode = true\n")
    passed(run(UNCHANGED.replace("pytest.mark.trio, ", "")), 2)


@pytest.mark.parametrize("clock", ["autojump_clock", "mock_clock"])
def test_pytest_trio_s_clocks_are_taken(run, clock: str) -> None:  # noqa: ANN001
    """Either is driven by the network."""
    source = UNCHANGED.replace("def test_patience(port", f"def test_patience(port, {clock}")
    passed(run(source), 2)


def test_a_clock_that_goes_by_itself_is_refused(run) -> None:  # noqa: ANN001
    """And the error says what to do."""
    source = UNCHANGED.replace("def test_patience(port", "def test_patience(port, real_clock") + (
        "\n\n@pytest.fixture\ndef real_clock():\n    return trio.testing.MockClock(rate=1.0)\n"
    )
    result = run(source)
    assert result.parseoutcomes() == {"passed": 1, "failed": 1}
    result.stdout.fnmatch_lines(["*needs virtual time*use no clock fixture, or autojump_clock*"])


def test_a_runner_of_the_test_s_own_is_used(run) -> None:  # noqa: ANN001
    """``pytest.mark.trio(run=...)``: the network is attached inside of it."""
    source = UNCHANGED + (
        "\nruns = []\n"
        "def my_run(fn, **options):\n"
        "    runs.append(fn)\n"
        "    return trio.run(fn, **options)\n"
        "@pytest.mark.trio(run=my_run)\n"
        "async def test_mine(virtual_network):\n"
        "    assert len(runs) == 1\n"
        "    with trio.socket.socket() as sock:\n"
        "        assert 'on localhost' in repr(sock)\n"
    )
    passed(run(source), 3)


def test_each_test_has_a_network_of_its_own(run) -> None:  # noqa: ANN001
    """The same port, the same time, whatever an earlier test did."""
    source = """
import pytest, trio

@pytest.mark.trio
@pytest.mark.parametrize("turn", [1, 2, 3])
async def test_port(virtual_network, turn):
    (listener,) = await trio.open_tcp_listeners(80)
    async with listener:
        assert virtual_network.time == 0
        await trio.sleep(turn)
"""
    passed(run(source), 3)


def test_hypothesis_tests_run_on_it(run) -> None:  # noqa: ANN001
    """Every example is a run; they share the network, and pytest-trio wants a clock fixture."""
    source = """
import pytest, trio
from hypothesis import HealthCheck, given, settings, strategies as st

@pytest.mark.trio
@pytest.mark.parametrize("turn", [1, 2])
@settings(suppress_health_check=list(HealthCheck), deadline=None, max_examples=5, database=None)
@given(data=st.binary(min_size=1))
async def test_echo(virtual_network, autojump_clock, turn, data):
    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0)
        stream = await trio.open_tcp_stream(*listener.socket.getsockname())
        far = await listener.accept()
        await stream.send_all(data)
        assert await far.receive_some() == data
        for closable in (stream, far, listener):
            await closable.aclose()
"""
    passed(run(source), 2)


# anyio


def test_anyio_s_plugin_with_the_trio_backend(run) -> None:  # noqa: ANN001
    """With a MockClock among the backend's options."""
    passed(run(ANYIO.format(backend="('trio', {'clock': trio.testing.MockClock()})")), 2)


@pytest.mark.parametrize(
    ("backend", "why"), [("'trio'", "needs virtual time"), ("'asyncio'", "runs on asyncio")]
)
def test_anyio_without_virtual_time_is_refused(run, backend: str, why: str) -> None:  # noqa: ANN001
    """The error shows the fixture to write."""
    result = run(ANYIO.format(backend=backend))
    assert result.parseoutcomes() == {"errors": 2}
    result.stdout.fnmatch_lines([f"virtual_network: *{why}*anyio_backend return ('trio', {{*"])


# Other tests


def test_an_async_test_that_nobody_runs_in_trio_is_refused(run) -> None:  # noqa: ANN001
    """It would not touch the network at all."""
    result = run("async def test_it(virtual_network):\n    pass\n")
    assert result.parseoutcomes() == {"errors": 1}
    result.stdout.fnmatch_lines(["*nobody runs this async test in Trio*"])


def test_a_plain_test_runs_programs_itself(run) -> None:  # noqa: ANN001
    """With ``virtual_network.run``; more hosts, and wsock's own sockets, as on any network."""
    source = """
import pytest, trio, wsock
from wsock.virtual import current_host

def test_it(virtual_network):
    net = virtual_network
    lan = net.segment("lan", "192.0.2.0/24")
    server = net.host("server", lan)
    net.link(net.localhost, server)
    net.fill_routes()

    async def greet(stream):
        await stream.send_all(b"hi from " + current_host().name.encode())

    async def main():
        assert current_host() is net.localhost
        with wsock.socket() as sock:
            assert sock.stack is net.localhost.stack
        async with trio.open_nursery() as nursery:
            with server:
                await nursery.start(trio.serve_tcp, greet, 80)
            async with await trio.open_tcp_stream("server", 80) as stream:
                assert await stream.receive_some() == b"hi from server"
            nursery.cancel_scope.cancel()

    net.run(main)
    assert current_host() is None
"""
    passed(run(source), 1)


# Real connections

REAL = """
import socket
import pytest
from wsock.virtual.testing import RealConnectionError

here = ("127.0.0.1", 9)
ways = {{
    "connect": lambda tcp, udp, unix: tcp.connect(here),
    "connect_ex": lambda tcp, udp, unix: tcp.connect_ex(here),
    "sendto": lambda tcp, udp, unix: udp.sendto(b"", here),
    "sendmsg": lambda tcp, udp, unix: udp.sendmsg([b""], [], 0, here),
    "unix": lambda tcp, udp, unix: unix.connect("/nowhere"),
}}

{before}
@pytest.mark.parametrize("way", ways)
{test}
    udp = socket.socket(type=socket.SOCK_DGRAM)
    with socket.socket() as tcp, udp, socket.socket(socket.AF_UNIX) as unix:
        with pytest.raises({error}):
            ways[way](tcp, udp, unix)
            raise ConnectionRefusedError
"""


@pytest.mark.parametrize(
    "test", ["def test_it(virtual_network, way):", "async def test_it(virtual_network, way):"]
)
def test_real_connections_are_refused(run, test: str) -> None:  # noqa: ANN001
    """Whoever makes them, in a plain test and in one that runs in Trio."""
    before = "@pytest.mark.trio" if "async" in test else ""
    source = REAL.format(before=before, test=test, error="RealConnectionError, match='allow_real'")
    passed(run(source), 5)


@pytest.mark.parametrize(
    ("before", "test"),
    [
        ("", "def test_it(virtual_network, way):\n    virtual_network.allow_real()"),
        (
            "@pytest.mark.virtual_network(allow_real=['127.0.0.0/8', '/nowhere'])",
            "def test_it(virtual_network, way):",
        ),
        ("", "def test_it(way):"),
    ],
    ids=["all", "some, by the marker", "without the fixture"],
)
def test_real_connections_may_be_allowed(run, before: str, test: str) -> None:  # noqa: ANN001
    """By the marker or by the network; other tests are not concerned."""
    source = REAL.format(before=before, test=test, error="OSError")
    passed(run(source), 5)


def test_threads_of_the_program_may_connect(run) -> None:  # noqa: ANN001
    """Only the thread of the run is watched; virtual time waits for the others anyway."""
    source = """
import socket, pytest, trio

@pytest.mark.trio
async def test_it(virtual_network):
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()
        client = await trio.to_thread.run_sync(socket.create_connection, address)
        client.close()
"""
    passed(run(source), 1)


# What a failing test shows

FAILING = """
import pytest, trio

@pytest.mark.trio
@pytest.mark.parametrize("count", [{count}])
async def test_it(virtual_network, count):
    (listener,) = await trio.open_tcp_listeners(0)
    stream = await trio.open_tcp_stream(*listener.socket.getsockname())
    far = await listener.accept()
    for _ in range(count):
        await stream.send_all(b"abc")
        await virtual_network.settle()
    for closable in (stream, far, listener):
        await closable.aclose()
    assert {outcome}
"""


def seen(result: pytest.RunResult) -> list[str]:
    lines = result.stdout.lines
    start = next(n for n, line in enumerate(lines) if line.strip("-") == " virtual network ")
    ends = ("=", "kept in", "- ")
    return [line for line in lines[start + 1 :] if not line.startswith(ends)]


@pytest.mark.parametrize("count", [1, 100])
def test_a_failing_test_shows_seed_digest_and_ladder(run, count: int) -> None:  # noqa: ANN001
    """The ladder's last 40 lines at most."""
    result = run(FAILING.format(count=count, outcome="False"), "--wsock-seed", "12")
    assert result.parseoutcomes() == {"failed": 1}
    first, *lines = seen(result)
    assert re.fullmatch(r"seed 12, \d+\.\d{6} s of virtual time, digest [0-9a-f]{64}", first)
    assert re.fullmatch(r"\d+ packets seen; the last 40 lines of what was sent:", lines[0])
    assert "localhost (client)" in lines[1]
    ladder = [line for line in lines[2:] if re.match(r" +\d+\.\d{6}  ", line)]
    assert (len(ladder) == 40) == (count == 100)
    assert ("SYN seq=0" in ladder[0]) == (count == 1)
    assert "FIN" in "".join(ladder)


def test_a_passing_test_shows_nothing(run) -> None:  # noqa: ANN001
    """And keeps nothing."""
    result = run(FAILING.format(count=1, outcome="True"), "--wsock-artifacts", "kept")
    passed(result, 1)
    assert "virtual network" not in result.stdout.str()


def test_the_same_seed_gives_the_same_digest(run) -> None:  # noqa: ANN001
    """And another seed another one."""

    def digest(seed: str) -> str:
        result = run(FAILING.format(count=3, outcome="False"), "--wsock-seed", seed)
        return seen(result)[0].rpartition(" ")[2]

    assert digest("1") == digest("1") != digest("2")
    assert digest("a text") != digest("1")


def test_a_random_seed_is_shown(run) -> None:  # noqa: ANN001
    """In the head of the session, so that it can be had again."""
    result = run(FAILING.format(count=1, outcome="False"), "--wsock-seed", "random")
    (head,) = [line for line in result.stdout.lines if line.startswith("wsock: ")]
    assert seen(result)[0].startswith(f"seed {head.split()[-1]}, ")


def test_the_marker_chooses_seed_and_profile(run) -> None:  # noqa: ANN001
    """For one test."""
    source = """
import pytest

@pytest.mark.virtual_network(seed=99, profile="windows2000")
def test_it(virtual_network):
    assert virtual_network.seed == 99
    assert virtual_network.localhost.profile.name == "windows2000"
"""
    passed(run(source, "--strict-markers"), 1)


def test_artifacts_of_failed_tests_are_kept(run, pytester: pytest.Pytester) -> None:  # noqa: ANN001
    """Packets for Wireshark, the whole ladder, the log, the TDI trace."""
    source = FAILING.format(count="1, 100", outcome="count == 1")
    result = run(source, "--wsock-artifacts", "kept")
    assert result.parseoutcomes() == {"failed": 1, "passed": 1}
    (folder,) = (pytester.path / "kept").iterdir()
    assert "test_it[100]" in folder.name
    result.stdout.fnmatch_lines([f"kept in kept/{folder.name}"])
    files = {path.name for path in folder.iterdir()}
    assert files == {"localhost.lo.pcapng", "ladder.txt", "log.txt", "trace.jsonl"}
    assert (folder / "localhost.lo.pcapng").read_bytes()[:4] == b"\x0a\x0d\x0d\x0a"
    assert len((folder / "ladder.txt").read_text().splitlines()) > 100
    requests = {row.request for row in tdimon.load(folder / "trace.jsonl").rows()}
    assert {"TDI_CONNECT", "TDI_SEND", "TDI_DISCONNECT"} <= requests


def test_a_test_that_fails_while_it_is_set_up_shows_it_too(run) -> None:  # noqa: ANN001
    """A plain fixture that fails after packets were sent."""
    source = """
import pytest, trio

@pytest.fixture
def broken(virtual_network):
    async def main():
        with pytest.raises(OSError):
            await trio.open_tcp_stream("localhost", 81)
    virtual_network.run(main)
    raise KeyError

def test_it(broken):
    pass
"""
    result = run(source)
    assert result.parseoutcomes() == {"errors": 1}
    assert "RST-ACK" in "".join(seen(result))


def test_faults_in_force_are_named(run) -> None:  # noqa: ANN001
    """A test that fails under a partition says so."""
    source = """
import pytest, trio

@pytest.mark.trio
async def test_it(virtual_network):
    virtual_network.partition("localhost")
    with trio.fail_after(10):
        await trio.open_tcp_stream("localhost", 80)
"""
    result = run(source)
    assert "in force: partition localhost" in seen(result)
    assert "dropped by partition" in "".join(seen(result))


def test_a_host_that_is_off_is_named_and_all_is_told_once(run) -> None:  # noqa: ANN001
    """A test that fails twice, in its body and in a fixture's end, shows its network once."""
    source = """
import pytest, trio

@pytest.fixture
def failing_at_the_end(virtual_network):
    yield
    assert False

@pytest.mark.trio
async def test_it(virtual_network, failing_at_the_end):
    lan = virtual_network.segment("lan", "192.0.2.0/24")
    virtual_network.host("mail.example", lan).crash()
    assert False
"""
    result = run(source)
    assert result.parseoutcomes() == {"failed": 1, "errors": 1}
    assert "mail.example is off" in seen(result)
    assert result.stdout.str().count("of virtual time, digest") == 1


def test_a_network_ends_with_its_test(run) -> None:  # noqa: ANN001
    """A session of thousands of tests keeps none of them."""
    source = """
import gc, weakref
import pytest

kept = []

@pytest.mark.parametrize("turn", range(3))
def test_it(virtual_network, turn):
    gc.collect()
    assert [one() for one in kept] == [None] * turn
    kept.append(weakref.ref(virtual_network))
"""
    passed(run(source), 3)


def test_the_runner_that_pytest_trio_is_told_to_use(run, pytester: pytest.Pytester) -> None:  # noqa: ANN001
    """``trio_run = qtrio`` in the configuration: attached inside of that one."""
    pytester.makeini("[pytest]\ntrio_run = qtrio\n")
    pytester.makepyfile(
        qtrio="""
        import trio
        runs = []
        def run(fn, **options):
            runs.append(fn)
            return trio.run(fn, **options)
    """
    )
    source = UNCHANGED + "\n\nasync def test_whose():\n    import qtrio\n    assert qtrio.runs\n"
    passed(run(source), 3)
