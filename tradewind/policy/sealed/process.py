"""The network of a bundle in a sealed process that this one starts, for tools and libraries.

The inference service has a loading process instead, which forks one for each bundle.
"""

import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import weakref
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NoReturn, Self

import numpy as np
from numpy.typing import NDArray

from tradewind.bundle import Bundle, BundleFault, BundleLimits, read_bundle
from tradewind.errors import BundleError, BundleRuntimeError, SettingsError
from tradewind.policy.bundle_policy import BundlePolicy
from tradewind.policy.compiled_network import CompiledNetwork
from tradewind.policy.declared import open_declared
from tradewind.policy.sealed.network import Method, SealedCalls, check_answers, hear_proof
from tradewind.sealing import environment_of_a_seal, missing_protections
from tradewind.sealing.wire import WireError, receive, send

__all__ = ["ALLOW_UNSEALED", "SealedNetwork", "load_sealed_policy", "may_go_unsealed"]

_LOG = logging.getLogger(__name__)

ALLOW_UNSEALED: Final = "TRADEWIND_ALLOW_UNSEALED"
"""Environment variable: 1 lets TorchScript run where the kernel cannot seal a process wholly."""

_READY_S: Final = 180.0  # to import torch, on a machine that does much else
_LOAD_S: Final = 60.0
_CALL_S: Final = 60.0
_MEMORY_MB: Final = 4096
_MIB: Final = 1024 * 1024


def load_sealed_policy(path: Path | str, limits: BundleLimits | None = None) -> BundlePolicy:
    """The policy of a bundle, of whose TorchScript nothing runs in this process.

    A declared network (format 2) is compiled here, as it holds nothing that can be executed. Of a
    bundle of format 1, a sealed process loads the network, proves it and lowers it; what it gives
    back is arrays, which the compiled runtime executes here. A network that cannot be lowered stays
    in the sealed process and is asked there.

    Args:
        path: `<store>/<policy>/<version>`.
        limits: Largest files accepted.

    Raises:
        BundleError: The bundle must not be used; `reason` and message name the cause.
        VersionNotFoundError: There is no such folder.
        StorageError: The file system failed; the bundle may be good.
        SettingsError: This machine cannot seal a process, and ALLOW_UNSEALED is not set.
    """
    bundle = read_bundle(path, limits)
    if bundle.metadata.graph is not None:
        return BundlePolicy(bundle, open_declared(bundle), "")
    sealed = SealedNetwork(bundle)
    if sealed.compiled is None:
        return BundlePolicy(bundle, sealed, sealed.runtime_reason)
    sealed.close()
    return BundlePolicy(bundle, sealed.compiled, "")


def may_go_unsealed() -> bool:
    """Whether TorchScript may run with less than a whole seal.

    Raises:
        SettingsError: It would have to, and may not.
    """
    missing = missing_protections()
    if not missing:
        return False
    lacks = f"this machine has no {' and no '.join(missing)} to seal it off"
    if os.environ.get(ALLOW_UNSEALED) != "1":
        raise SettingsError(
            f"TorchScript is not executed: {lacks}; {ALLOW_UNSEALED}=1 executes it nevertheless"
        )
    _LOG.warning("TorchScript is executed although %s", lacks)
    return True


class SealedNetwork:
    """A Network that a sealed process executes; one call at a time, others wait.

    Args:
        bundle: A verified bundle.

    Attributes:
        compiled: The same network for this process, if it can be lowered.
        runtime_reason: Why it cannot.
        memory_bytes: Of its weights and other constants, about.

    Raises:
        BundleError: The network must not be used.
        SettingsError: See may_go_unsealed.
    """

    runtime: Final = "torchscript"

    def __init__(self, bundle: Bundle) -> None:
        self._name = f"{bundle.metadata.name}/{bundle.metadata.version}"
        self._turn = threading.Lock()
        self.memory_bytes = len(bundle.policy_pt)
        partly = may_go_unsealed()
        self._connection, process = _start()
        self.close = weakref.finalize(self, _end, self._connection, process)
        self._calls = SealedCalls(self._connection)
        try:
            self.compiled = self._prove(bundle, partly)
            check_answers(self.compiled or self, bundle)
        except BundleError as problem:
            self.close()
            if str(problem).startswith("bundle "):
                raise
            raise type(problem)(
                f"bundle {self._name} is refused: {problem}",
                reason=problem.reason,
                metadata=problem.metadata,
            ) from None
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def act(self, observations: NDArray[np.float32]) -> tuple[NDArray[Any], int]:
        """The actions in the mode of the distribution; see Network."""
        return self._ask("act", observations)

    def distribution(self, observations: NDArray[np.float32]) -> tuple[NDArray[np.float32], int]:
        """The parameters of the distribution; see Network."""
        return self._ask("distribution", observations)

    def warm_up(self, observations: NDArray[np.float32]) -> None:
        """Its process has done so before it said that it is ready."""

    def _ask(self, method: Method, observations: NDArray[np.float32]) -> tuple[NDArray[Any], int]:
        with self._turn:
            try:
                return self._calls.ask(method, observations, _CALL_S)
            except (EOFError, OSError, WireError) as problem:
                self._fail(problem, BundleFault.MODEL_OUTPUT_INVALID, f"a call over {_CALL_S:g} s")

    def _prove(self, bundle: Bundle, partly: bool) -> CompiledNetwork | None:
        golden = bundle.golden
        arrays: list[NDArray[Any]] = [
            np.frombuffer(bundle.metadata_json, np.uint8),
            np.frombuffer(bundle.policy_pt, np.uint8),
            golden.observations,
            golden.actions,
            golden.distribution,
        ]
        message = {"path": str(bundle.path), "memory_mb": _MEMORY_MB, "partly": partly}
        try:
            receive(self._connection, array_bytes=0, deadline=time.monotonic() + _READY_S)
            deadline = time.monotonic() + _LOAD_S
            send(self._connection, message, arrays, deadline=deadline)
            lowered, self.runtime_reason = hear_proof(
                self._connection, bundle, array_bytes=_MEMORY_MB * _MIB // 4, deadline=deadline
            )
        except (EOFError, OSError, WireError) as problem:
            late = isinstance(problem, TimeoutError)
            fault = BundleFault.MODEL_LOAD_TIMEOUT if late else BundleFault.MODEL_LOAD_CRASHED
            self._fail(problem, fault, f"a load over {_LOAD_S:g} s")
        return None if lowered is None else CompiledNetwork(lowered)

    def _fail(self, problem: Exception, fault: BundleFault, late: str) -> NoReturn:
        self.close()
        if isinstance(problem, WireError):
            how = f"an answer that is none: {problem}"
        else:
            how = late if isinstance(problem, TimeoutError) else "its end"
        raise BundleRuntimeError(f"the process that executes it was ended for {how}", reason=fault)


def _start() -> tuple[socket.socket, subprocess.Popen[bytes]]:
    mine, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            # -P: what lies in the working directory is no module of ours.
            [sys.executable, "-P", "-m", "tradewind.policy.sealed", str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            env={**environment_of_a_seal(), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            process_group=0,  # Ctrl-C is for the program, which ends it
        )
    return mine, process


def _end(connection: socket.socket, process: subprocess.Popen[bytes]) -> None:
    connection.close()
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGKILL)
    process.wait()
