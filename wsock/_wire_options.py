# Options for the conditions of wires, of every command that runs scripts on virtual hosts.
#
#   _run_command, tdimon.cli    take them
# > _wire_options               THIS FILE: names, units, help; knows nothing of networks
"""Command-line options that say what the wires of a virtual network do."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["CONDITIONS", "TIME", "wire_options"]

#: Options that are a condition of each LAN, as ``Network.segment`` names them.
CONDITIONS: Final = ("latency", "jitter", "loss", "duplicate", "reorder", "bandwidth", "mtu")


class _Amount(click.ParamType):  # type: ignore[type-arg, unused-ignore]  # generic since 8.2
    """A number with a unit, or without: ``200ms``, ``5%``, ``1.5M``."""

    def __init__(self, name: str, units: dict[str, float]) -> None:
        self.name = name
        self._units = units

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:  # noqa: ANN401
        if isinstance(value, float):
            return value
        for unit in sorted(self._units, key=len, reverse=True):
            if value.endswith(unit):
                with contextlib.suppress(ValueError):
                    number = float(value.removesuffix(unit)) * self._units[unit]
                    if 0 <= number < float("inf"):
                        return number
        known = ", ".join(unit for unit in self._units if unit)
        return self.fail(f"{value!r} is not a {self.name} (units: {known})", param, ctx)


TIME: Final = _Amount("time", {"": 1, "s": 1, "ms": 1e-3, "us": 1e-6})
_CHANCE: Final = _Amount("chance", {"": 1, "%": 0.01})
_BITS: Final = _Amount("rate", {"": 1, "k": 1e3, "M": 1e6, "G": 1e9})


def wire_options(*, latency: str, when: str = "") -> Callable[[Callable[..., None]], Any]:
    """Give a command ``--seed`` and the conditions; it gets ``seed``, and each of CONDITIONS.

    Args:
      latency: its default.
      when: what their help texts begin with.
    """

    def option(name: str, help_text: str, **rest: Any) -> Callable[..., Any]:  # noqa: ANN401
        text = f"{when}{help_text[0].lower()}{help_text[1:]}" if when else help_text
        return click.option(f"--{name}", help=text, **rest)

    options = [
        option("seed", "Of all chance: same seed, same run.", default="0", show_default=True),
        option("latency", "From any host of a LAN to any other: 200ms, 0.2.", type=TIME,
               default=latency, show_default=True),
        option("jitter", "Added to it by chance, up to so much.", type=TIME),
        option("loss", "Chance of each packet to be lost: 5%, 0.05.", type=_CHANCE),
        option("duplicate", "Chance to arrive twice.", type=_CHANCE),
        option("reorder", "Chance to be overtaken.", type=_CHANCE),
        option("bandwidth", "Bits per second: 1.5M.", type=_BITS),
        option("mtu", "Bytes of a packet.  [default: 1492]", type=click.IntRange(68, 65535)),
    ]  # fmt: skip

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        for add in reversed(options):
            command = add(command)
        return command

    return decorate
