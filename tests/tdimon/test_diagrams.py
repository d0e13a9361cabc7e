"""Sequence diagrams: the lanes, the steps, and three ways of drawing them."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import pytest

from wsock.tdi.status import Status
from wsock.tdi.trace import TraceRecord
from wsock.tdimon.diagram import Diagram, build

from .story import story

SVG = "{http://www.w3.org/2000/svg}"


def a_record(kind: str, request: str, status: Status | int = 0, host: str = "h") -> TraceRecord:
    record = TraceRecord(kind, request, status, 0)
    record.host = host
    return record


def lanes(diagram: Diagram) -> list[tuple[str, str]]:
    return [tuple(lane) for lane in diagram.lanes]


def test_two_hosts_face_each_other() -> None:
    """The one that connects is at the left, the wire in the middle, applications outside."""
    assert lanes(build(story())) == [
        ("client", "application"),
        ("client", "endpoint buffers"),
        ("client", "TDI objects"),
        ("", "wire"),
        ("server", "TDI objects"),
        ("server", "endpoint buffers"),
        ("server", "application"),
    ]


def test_a_chosen_host_alone() -> None:
    """One host has its lanes from the application to the wire."""
    diagram = build(story(), hosts=["server"])
    assert [lane.role for lane in diagram.lanes] == [
        "application",
        "endpoint buffers",
        "TDI objects",
        "wire",
    ]
    assert {step.host for step in diagram.steps} == {"server"}


def test_more_than_two_hosts_need_a_choice() -> None:
    """A diagram has two sides."""
    records = [a_record("call", "send", host=name) for name in "abc"]
    with pytest.raises(ValueError, match="choose of: a, b, c"):
        build(records)
    assert len(build(records, hosts=["b", "c"]).steps) == 2


def test_lanes_without_arrows_are_left_out_unless_asked_for() -> None:
    """A trace without notifications has no queue lane; ``lanes`` may ask for it."""
    roles = ["application", "queue or event", "endpoint buffers"]
    diagram = build(story(), hosts=["client"], lanes=roles)
    assert [lane.role for lane in diagram.lanes] == roles


def test_a_run_of_equal_requests_is_one_step() -> None:
    """The five handlers that bind sets are one step with a count; ``collapse`` turns that off."""
    diagram = build(story(), hosts=["client"])
    handlers = [step for step in diagram.steps if step.row.request.strip().endswith("HANDLER")]
    assert [step.repeats for step in handlers] == [4, 4]
    assert handlers[0].label(handlers[0].arrows[0]) == "TDI_SET_EVENT_HANDLER x5"
    assert len(build(story(), hosts=["client"], collapse=False).steps) == len(diagram.steps) + 8


def test_requests_go_down_and_events_come_up() -> None:
    """A send runs from the endpoint to the wire, an indication from the wire to the endpoint."""
    diagram = build(story())
    arrows = {step.row.request.strip(): step.arrows for step in diagram.steps}
    assert [(a.start, a.end) for a in arrows["TDI_SEND"]] == [(1, 2), (2, 3)]
    assert [(a.start, a.end) for a in arrows["TDI_EVENT_RECEIVE"]] == [(4, 5), (3, 4)]
    assert [a.text for a in arrows["TDI_SEND"]] == ["TDI_SEND", "2000 bytes"]


def every_kind() -> Diagram:
    return build(
        [
            a_record("call", "send", 10035),
            a_record("fd", "FD_READ"),
            a_record("message", "WM_USER + 1"),
            a_record("state", "CONNECTED"),
            a_record("tdi", "TDI_CONNECT", Status.CONNECTION_REFUSED),
        ]
    )


def test_every_kind_of_record_has_its_place() -> None:
    """Calls, notifications, messages, states and requests are drawn between their lanes."""
    diagram = every_kind()
    assert [[(a.start, a.end) for a in step.arrows] for step in diagram.steps] == [
        [(0, 2)],
        [(2, 1)],
        [(1, 0)],
        [],
        [(2, 3), (4, 3)],
    ]
    assert diagram.steps[3].note == (2, "CONNECTED")
    assert [step.arrows[0].style for step in diagram.steps if step.arrows] == [
        "failed",
        "notice",
        "notice",
        "failed",
    ]


def test_a_request_that_ends_late_stands_where_it_began() -> None:
    """The row of a send comes with its acknowledgement; it is drawn below the call, with a time."""
    times = {"send": 0, "TDI_EVENT_RECEIVE": 1_000_000, "TDI_SEND": 5_000_000}
    records = []
    for request, time_ns in times.items():
        kind = "call" if request == "send" else "tdi"
        record = a_record(kind, request, host="there" if "EVENT" in request else "here")
        record.time_ns, record.length = time_ns, 9
        record.cause = "network" if kind == "tdi" else ""
        records.append(record)
    steps = build(records, hosts=["here", "there"]).steps
    assert [step.row.request.strip() for step in steps] == ["send", "TDI_SEND", "TDI_EVENT_RECEIVE"]
    assert steps[1].detail[-1] == "done 5.000 ms later"
    assert steps[1].time_ns == 0


def test_a_selection_is_arranged_by_all_that_happened() -> None:
    """Without the call a late request still stands where it began, and the client at the left."""
    trace = []
    for number, (kind, request, host) in enumerate(
        [
            ("tdi", "TDI_EVENT_CONNECT", "there"),
            ("tdi", "TDI_CONNECT", "here"),
            ("call", "send", "here"),
            ("tdi", "TDI_EVENT_RECEIVE", "there"),
            ("tdi", "TDI_SEND", "here"),
        ]
    ):
        record = a_record(kind, request, host=host)
        record.time_ns, record.cause = number * 1_000_000, "network" if kind == "tdi" else ""
        trace.append(record)
    diagram = build(trace[3:], trace=trace)
    assert [step.row.request.strip() for step in diagram.steps] == ["TDI_SEND", "TDI_EVENT_RECEIVE"]
    assert diagram.steps[0].time_ns == 2_000_000
    assert diagram.lanes[0].host == "here"


def test_a_send_that_ended_at_once_takes_no_later_row() -> None:
    """The row of a second, pending send belongs to the second call."""
    records = [a_record("call", "send"), a_record("tdi", "TDI_SEND"), a_record("call", "send")]
    records[1].cause = "send"
    late = a_record("tdi", "TDI_SEND")
    late.cause, late.time_ns = "network", 7
    steps = build([*records, a_record("state", "CONNECTED"), late]).steps
    requests = [step.row.request.strip() for step in steps]
    assert requests == ["send", "TDI_SEND", "send", "TDI_SEND", "CONNECTED"]


def test_text_keeps_the_lanes_straight() -> None:
    """Every line has all lanes in the same columns, or an arrow or a text across them; ASCII."""
    text = build(story()).to_text()
    assert text.isascii()
    lines = text.splitlines()
    rails = [at for at, letter in enumerate(lines[-1]) if letter == "|"]
    assert len(rails) == 7
    for line in lines[2:]:
        assert all(line[at : at + 1] in {"|", "", "-", "="} for at in rails), line


def test_text_shows_each_label_whole() -> None:
    """No label is cut, however narrow the lanes would be."""
    diagram = build(story())
    text = diagram.to_text()
    for step in diagram.steps:
        for arrow in step.arrows:
            assert f" {step.label(arrow)} " in text or not arrow.text


def test_text_of_every_kind() -> None:
    """A state stands in brackets, a failed request has a cross."""
    text = every_kind().to_text()
    assert "[CONNECTED]" in text
    assert " x TDI_CONNECT " in text


def test_mermaid_declares_what_it_uses() -> None:
    """Boxes for hosts, a participant for each lane, and arrows between declared ones only."""
    text = build(story()).to_mermaid()
    lines = [line.strip() for line in text.splitlines()]
    assert lines[0] == "sequenceDiagram"
    declared = {line.split()[1] for line in lines if line.startswith("participant")}
    used = set(re.findall(r"\b(L\d+)(?=[-)x>]|:)", text))
    assert used <= declared == {f"L{number}" for number in range(7)}
    assert lines.count("end") == len([line for line in lines if line.startswith("box")]) == 2


def test_mermaid_quotes_what_it_would_read_as_markup() -> None:
    """A semicolon or a bracket in a text cannot end the statement."""
    record = a_record("call", "send")
    record.extra = {"call": "send(b'a;<b>#\n')"}
    assert "send(b'a#59;#60;b#62;#35;#10;')" in build([record]).to_mermaid()


def test_svg_is_self_contained_xml() -> None:
    """It parses, refers to nothing outside, runs no script, and has both colour schemes."""
    text = build(story()).to_svg("A story")
    root = ET.fromstring(text)
    assert root.tag == f"{SVG}svg"
    assert not re.search(r"href|<script|<image|url\(|@import|https?://(?!www\.w3\.org)", text)
    assert "prefers-color-scheme: dark" in text
    assert "@media print" in text
    assert root.findtext(f"{SVG}title") == "A story"


def test_svg_holds_everything_inside_its_frame() -> None:
    """No line, box or text begins outside the view box; every arrow has a head and a label."""
    diagram = build(story())
    root = ET.fromstring(diagram.to_svg())
    width, height = (float(root.attrib[name]) for name in ("width", "height"))
    for element in root.iter():
        for name, limit in (("x", width), ("x1", width), ("x2", width), ("y", height)):
            assert 0 <= float(element.attrib.get(name, 0)) <= limit
    arrows = [g for g in root.iter(f"{SVG}g") if g.attrib.get("class", "").startswith("arrow")]
    styles = {arrow.style for step in diagram.steps for arrow in step.arrows}
    assert len(arrows) == sum(len(step.arrows) for step in diagram.steps) + len(styles)  # legend


def test_svg_tells_each_row_as_a_tooltip() -> None:
    """What the picture leaves out is in the title of its step."""
    root = ET.fromstring(build(story()).to_svg())
    titles = [title.text or "" for title in root.iter(f"{SVG}title")]
    assert any("ENTIRE_MESSAGE LOOKAHEAD DISPATCH" in title for title in titles)


def test_svg_of_odd_texts() -> None:
    """Markup and control characters in a text do no harm."""
    record = a_record("call", "x")
    record.extra = {"call": "<script>\x00&\x1b[31m"}
    root = ET.fromstring(build([record]).to_svg("<&>"))
    assert any("<script>?&?[31m" in (text.text or "") for text in root.iter(f"{SVG}text"))


@pytest.mark.parametrize("draw", ["to_text", "to_mermaid", "to_svg"])
def test_nothing_to_draw(draw: str) -> None:
    """An empty trace is an empty picture."""
    assert getattr(build([]), draw)()
