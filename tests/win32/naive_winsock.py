"""A naive Winsock: a listener, its clients, two datagram sockets, and what each is owed.

Nothing here is fast, shared or clever: every rule is written down once, as winsock's pages have it
(the documented column). A call returns what the C call returns, or minus the error code. A socket
keeps the events that it must have posted, or recorded; all codes are kept beside them.
"""

from __future__ import annotations

from wsock import win32 as w

READ, WRITE, OOB, ACCEPT = w.FD_READ, w.FD_WRITE, w.FD_OOB, w.FD_ACCEPT
CONNECT, CLOSE = w.FD_CONNECT, w.FD_CLOSE
ORDER = (CONNECT, ACCEPT, OOB, READ, WRITE, CLOSE)
ALL = sum(ORDER)


class Notified:
    """What every socket has: a selection, what is armed, what is recorded."""

    def __init__(self) -> None:
        self.closed = False
        self.mode = ""
        self.mask = 0
        self.armed = ALL
        self.record = 0
        self.codes: dict[int, int] = {}
        self.signalled = False
        self.posted: list[tuple[int, int]] = []
        self.keep_alive = False

    def holds(self, bit: int) -> bool:
        raise NotImplementedError

    def code(self, bit: int) -> int:
        return 0

    # Reporting

    def arrive(self, bit: int) -> None:
        if not self.armed & bit or self.closed:
            return
        if self.mode == "event":
            self.armed &= ~bit
            self.record |= bit
            self.codes[bit] = self.code(bit)
            self.signalled |= bool(self.mask & bit)
        elif self.mode == "message" and self.mask & bit:
            self.armed &= ~bit
            self.posted.append((bit, self.code(bit)))

    def evaluate(self, bits: int) -> None:
        for bit in ORDER:
            if bits & bit and self.holds(bit):
                self.arrive(bit)

    def enable(self, bits: int) -> None:
        self.armed |= bits
        self.record &= ~bits
        self.evaluate(bits)

    # Calls that all sockets know

    def message(self, mask: int) -> int:
        if self.closed:
            return -w.WSAENOTSOCK
        self.armed |= ALL & ~CONNECT
        self.record &= CONNECT
        self.mode, self.mask = ("message" if mask else ""), mask
        self.evaluate(mask)
        return 0

    def event(self, mask: int) -> int:
        if self.closed:
            return -w.WSAENOTSOCK
        self.mode, self.mask = ("event" if mask else ""), mask
        waiting = self.record & mask
        self.evaluate(ALL)
        self.signalled |= bool(waiting)
        return 0

    def enumerate(self, _: int) -> object:
        if self.closed:
            return -w.WSAENOTSOCK
        found = self.record & self.mask
        self.record &= ~found
        self.signalled = False
        return [(bit, self.codes.get(bit, 0)) for bit in sorted(ORDER) if found & bit]

    def blocking(self, _: int) -> int:
        if self.closed:
            return -w.WSAENOTSOCK
        return -w.WSAEINVAL if self.mask else 0

    def keepalive(self, on: int) -> int:
        if self.closed:
            return -w.WSAENOTSOCK
        self.keep_alive = bool(on & 1)
        return int(self.keep_alive)

    def so_error(self, _: int) -> int:
        return -w.WSAENOTSOCK if self.closed else 0

    def look(self, _: int) -> object:
        if self.closed:
            return -w.WSAENOTSOCK
        return self.in_sets()

    def in_sets(self) -> tuple[bool, bool, bool]:
        return False, False, False


class Stream(Notified):
    """One end of a connection."""

    def __init__(self, peer: Stream | None = None) -> None:
        super().__init__()
        self.peer = peer or Stream(self)
        self.data = 0  # unread
        self.urgent = 0  # unread urgent bytes
        self.at_mark = False  # the place of one lies ahead in the stream
        self.ended = self.shut_send = False
        self.reset_code = 0
        self.connected = False  # by this end's own connect

    def holds(self, bit: int) -> bool:
        if bit == CLOSE:
            return bool(self.reset_code) or (self.ended and not self.data)
        return {
            READ: self.data > 0,
            WRITE: not self.shut_send and not self.reset_code,
            OOB: self.urgent > 0,
            CONNECT: self.connected,
        }.get(bit, False)

    def code(self, bit: int) -> int:
        return self.reset_code if bit == CLOSE else 0

    # What the peer does

    def hear(self, count: int) -> None:
        self.data += count
        self.arrive(READ)

    def hear_urgent(self) -> None:
        self.urgent += 1
        self.at_mark = True
        self.arrive(OOB)

    def hear_end(self) -> None:
        if not self.ended and not self.reset_code:
            self.ended = True
            self.evaluate(CLOSE)

    def hear_reset(self) -> None:
        over = self.shut_send and self.ended  # both have said their last word
        if not self.reset_code and not over:
            self.reset_code = w.WSAECONNABORTED if self.ended else w.WSAECONNRESET
            self.evaluate(CLOSE)

    # Sending

    def _refusal(self) -> int:
        if self.closed:
            return -w.WSAENOTSOCK
        return -w.WSAESHUTDOWN if self.shut_send else -self.reset_code

    def send(self, count: int) -> int:
        refusal = self._refusal()
        if refusal:
            return refusal
        if self.peer.closed:
            self.hear_reset()
        else:
            self.peer.hear(count)
        return count

    def send_urgent(self, _: int) -> int:
        refusal = self._refusal()
        if refusal:
            return refusal
        if self.peer.closed:
            self.hear_reset()
        else:
            self.peer.hear_urgent()
        return 1

    def shutdown(self, _: int) -> int:
        if self.closed:
            return -w.WSAENOTSOCK
        if not self.shut_send:
            self.shut_send = True
            if not self.reset_code:
                self.peer.hear_end()
        return 0

    # Receiving

    def recv(self, count: int, *, keep: bool = False) -> int:
        if self.closed:
            return -w.WSAENOTSOCK
        got = min(count, self.data)
        answer = got or -self.reset_code or (0 if self.ended else -w.WSAEWOULDBLOCK)
        if not keep:
            self.data -= got
            self.at_mark = False
        self.enable(READ | OOB)
        if self.ended:
            self.evaluate(CLOSE)
        return answer

    def peek(self, count: int) -> int:
        return self.recv(count, keep=True)

    def recv_urgent(self, count: int) -> int:
        if self.closed:
            return -w.WSAENOTSOCK
        got = min(count, self.urgent)
        answer = got or -self.reset_code or -w.WSAEWOULDBLOCK
        self.urgent -= got
        self.enable(OOB)
        if self.ended:
            self.evaluate(CLOSE)
        return answer

    def unread(self, _: int) -> int:
        return -w.WSAENOTSOCK if self.closed else self.data

    def mark(self, _: int) -> int:
        return -w.WSAENOTSOCK if self.closed else int(not self.urgent)

    def in_sets(self) -> tuple[bool, bool, bool]:
        if self.reset_code:
            return True, True, False
        return self.data > 0 or self.ended, True, self.urgent > 0

    # The end

    def close(self, _: int, *, reset: bool = False) -> int:
        if self.closed:
            return -w.WSAENOTSOCK
        self.closed = True
        if not self.reset_code and not self.peer.closed:
            if reset or self.data or self.at_mark:
                self.peer.hear_reset()
            else:
                self.peer.hear_end()
        return 0

    def abort(self, _: int) -> int:
        return self.close(0, reset=True)


class Listener(Notified):
    """Takes connections."""

    def __init__(self) -> None:
        super().__init__()
        self.pending: list[Stream] = []

    def holds(self, bit: int) -> bool:
        return bit == ACCEPT and bool(self.pending)

    def in_sets(self) -> tuple[bool, bool, bool]:
        return bool(self.pending), False, False

    def accept(self, _: int) -> Stream | int:
        """The server's end of the connection that has waited longest."""
        if self.closed:
            return -w.WSAENOTSOCK
        if not self.pending:
            self.enable(ACCEPT)
            return -w.WSAEWOULDBLOCK
        accepted = self.pending.pop(0)
        accepted.mode, accepted.mask = self.mode, self.mask
        accepted.keep_alive = self.keep_alive
        self.enable(ACCEPT)
        for bit in (READ, WRITE, OOB, CLOSE):  # FD_OOB has no place in the promised order
            accepted.evaluate(bit)
        return accepted

    def close(self, _: int) -> int:
        if self.closed:
            return -w.WSAENOTSOCK
        self.closed = True
        while self.pending:
            self.pending.pop().abort(0)
        return 0

    def connected(self, client: Stream) -> None:
        """A client connects: both ends are there, and say so."""
        client.connected = True
        client.arrive(CONNECT)
        client.arrive(WRITE)
        self.pending.append(client.peer)
        self.arrive(ACCEPT)


class Datagrams(Notified):
    """A bound datagram socket."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: list[int] = []
        self.unreachable = 0  # answers to what was sent to nobody; they are told first

    def holds(self, bit: int) -> bool:
        return bit == WRITE or (bit == READ and bool(self.waiting or self.unreachable))

    def in_sets(self) -> tuple[bool, bool, bool]:
        return self.holds(READ), True, False

    def recv(self, count: int, *, keep: bool = False) -> int:
        if self.closed:
            return -w.WSAENOTSOCK
        if self.unreachable:
            self.unreachable -= not keep
            self.enable(READ)
            return -w.WSAECONNRESET
        if not self.waiting:
            self.enable(READ)
            return -w.WSAEWOULDBLOCK
        length = self.waiting[0] if keep else self.waiting.pop(0)
        self.enable(READ)
        return length if length <= count else -w.WSAEMSGSIZE

    def peek(self, count: int) -> int:
        return self.recv(count, keep=True)

    def send_to(self, other: Datagrams, count: int) -> int:
        if self.closed:
            return -w.WSAENOTSOCK
        if other.closed:
            self.unreachable += 1
            self.arrive(READ)
        else:
            other.waiting.append(count)
            other.arrive(READ)
        return count

    def close(self, _: int) -> int:
        if self.closed:
            return -w.WSAENOTSOCK
        self.closed = True
        return 0
