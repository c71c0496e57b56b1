"""Network namespaces: each program on a machine of its own, as far as its network can tell."""

import shutil
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

__all__ = ["Link", "Network"]

# Addresses that no other network has: RFC 2544 sets them aside for tests of networks.
_SUBNETS = tuple(f"198.18.{serial}" for serial in range(64, 128))
_FORWARD = ("FORWARD", "-i", "tw+", "-o", "tw+", "-j", "ACCEPT")


class Link:
    """A namespace and the cable that joins it to this one, which leads to the others, too.

    Args:
        serial: Which of the subnets it takes.
        name: Of the namespace.

    Attributes:
        host: Its address, as seen from here.
    """

    def __init__(self, serial: int, name: str) -> None:
        self.host = f"{_SUBNETS[serial]}.2"
        self._router = f"{_SUBNETS[serial]}.1"
        self._name = name
        self._ends = (f"{name}h", f"{name}n")
        here, there = self._ends
        _run("ip", "netns", "add", name)
        try:
            _run("ip", "link", "add", here, "type", "veth", "peer", "name", there, "netns", name)
            _run("ip", "address", "add", f"{self._router}/24", "dev", here)
            _run("ip", "-n", name, "address", "add", f"{self.host}/24", "dev", there)
            _run("ip", "-n", name, "link", "set", "lo", "up")
            _run("ip", "link", "set", here, "up")
            Path(f"/proc/sys/net/ipv4/conf/{here}/forwarding").write_text("1")
            self.plug()
        except BaseException:
            self.remove()
            raise

    @property
    def launcher(self) -> Sequence[str]:
        """What runs a program in the namespace, before its command line."""
        return ("ip", "netns", "exec", self._name)

    def unplug(self) -> None:
        """Pulls the cable at the far end: no carrier, no neighbour, no route to it."""
        _run("ip", "-n", self._name, "link", "set", self._ends[1], "down")

    def plug(self) -> None:
        """Puts it back."""
        _run("ip", "-n", self._name, "link", "set", self._ends[1], "up")
        # It goes with the cable.
        _run("ip", "-n", self._name, "route", "add", "default", "via", self._router)

    def swallow(self) -> None:
        """Has every packet to the namespace vanish, as a broken router on the way does."""
        _run(*self.launcher, "iptables", "-w", "-I", "INPUT", "-j", "DROP")

    def deliver(self) -> None:
        """Ends that."""
        _run(*self.launcher, "iptables", "-w", "-D", "INPUT", "-j", "DROP")

    def remove(self) -> None:
        """Removes the cable and the namespace."""
        # The kernel would remove it with the namespace, some time later.
        subprocess.run(("ip", "link", "delete", self._ends[0]), capture_output=True, check=False)
        _run("ip", "netns", "delete", self._name)


class Network:
    """A namespace for each of some names; a context manager that removes them.

    Args:
        names: What the namespaces are for.

    Attributes:
        links: The namespace of each name.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._owned = ExitStack()
        self.links: dict[str, Link] = {}
        taken = {path.name for path in Path("/run/netns").glob("tw*")}
        free = (serial for serial in range(len(_SUBNETS)) if f"tw{serial}" not in taken)
        try:
            # Where another program has the machine forward nothing, such as Docker.
            _run("iptables", "-w", "-I", *_FORWARD)
            self._owned.callback(_run, "iptables", "-w", "-D", *_FORWARD)
            for name in names:
                serial = next(free)
                self.links[name] = Link(serial, f"tw{serial}")
                self._owned.callback(self.links[name].remove)
        except BaseException:
            self._owned.close()
            raise

    @staticmethod
    def missing() -> str:
        """What this machine lacks for it; empty for nothing."""
        for program in ("ip", "iptables"):
            if shutil.which(program) is None:
                return f"namespaces need {program} (Debian: iproute2, iptables)"
        tried = subprocess.run(["unshare", "--net", "true"], capture_output=True, check=False)
        return "namespaces need root" if tried.returncode else ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._owned.close()


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
