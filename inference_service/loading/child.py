"""The loading process: `python -m inference_service.loading.child FD CORE,… LOG`.

It forks for each request, so that nothing that a network does to its fork, be it an endless loop, a
crash or too much memory, reaches anything else. It has one thread, so a fork is a whole process. A
fork reads and verifies what it is asked for and hands it over. A declared network is data: it is
compiled, and that is all. For TorchScript the process imports torch, once, when the first bundle of
format 1 is there; a fork seals itself and only then touches the network: whatever it says from then
on is believed by nobody.

The process itself never reads a byte of a bundle or of a fork.
"""

import contextlib
import gc
import logging
import os
import select
import signal
import socket
import sys
from typing import NoReturn

from inference_service.loading.messages import (
    ExecuteRequest,
    LoadRequest,
    Need,
    bundle_frame,
    read_request,
)
from tradewind.bundle import Bundle, read_bundle
from tradewind.errors import TradewindError, UnavailableError
from tradewind.extras import missing_extra
from tradewind.logs import LogSettings, set_up_logging
from tradewind.policy import lower_declared
from tradewind.policy.sealed.messages import error_message, lowered_message
from tradewind.sealing import SealError, missing_protections, seal_process
from tradewind.sealing.wire import receive, send

__all__ = ["main"]

_LOG = logging.getLogger("inference_service.loading.child")  # it is __main__
_NICENESS = 5  # calls under way come first, but a load does not starve
_MOST_BYTES = 1 << 33  # of a request; who asks is trusted


def main() -> None:
    """Answers requests until every process that could send one has ended."""
    requests = socket.socket(fileno=int(sys.argv[1]))
    os.sched_setaffinity(0, map(int, sys.argv[2].split(",")))
    log = LogSettings.model_validate_json(sys.argv[3])
    set_up_logging(log, "inference_service", process="loading")
    gc.freeze()  # a collection in a fork would copy the pages of every object there is
    Zygote(requests).run()


class TorchScript:
    """What executing TorchScript needs, imported when it is first needed.

    Attributes:
        ready: Whether it is there.
        lack: Why it cannot be.
    """

    def __init__(self) -> None:
        self.ready = False
        self.lack = ""

    def prepare(self) -> None:
        """Imports it, once; the forks have it from then on."""
        if self.ready:
            return
        try:
            from tradewind.policy.sealed.worker import prepare
        except ModuleNotFoundError as missing:
            self.lack = missing_extra(missing) or f"{missing.name} is not installed"
            return
        prepare()
        lacking = missing_protections()
        if lacking:
            _LOG.warning(
                "this machine has no %s to seal TorchScript off; loader.allow_unsealed says "
                "whether it is executed nevertheless",
                " and no ".join(lacking),
            )
        gc.freeze()
        self.ready = True

    def check(self) -> None:
        """Refuses where it is not there.

        Raises:
            UnavailableError: It is not.
        """
        if not self.ready:
            raise UnavailableError(f"TorchScript is not executed: {self.lack}")


class Zygote:
    """Forks for each request, and tells who asked how its fork ended.

    Args:
        requests: Where servers send what the fork Needs with two descriptors: of the connection to
            the fork, and of the one on which they hear of its end. A server that closes the latter
            one has given up, and the fork is killed.
    """

    def __init__(self, requests: socket.socket) -> None:
        self._requests = requests
        self._torchscript = TorchScript()
        self._watched: dict[int, tuple[int, socket.socket]] = {}  # by descriptor
        self._poller = select.poll()
        self._woken, self._waker = socket.socketpair()

    def run(self) -> None:
        """Works until no server is left."""
        self._woken.setblocking(False)
        self._waker.setblocking(False)
        signal.set_wakeup_fd(self._waker.fileno())
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._poller.register(self._woken, select.POLLIN)
        self._poller.register(self._requests, select.POLLIN)
        while True:
            for descriptor, _ in self._poller.poll():
                if descriptor == self._woken.fileno():
                    self._reap()
                elif descriptor == self._requests.fileno():
                    if not self._take():
                        return
                elif descriptor in self._watched:
                    self._poller.unregister(descriptor)
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(self._watched[descriptor][0], signal.SIGKILL)

    def _take(self) -> bool:
        """Forks for the next request; False when there will be none."""
        message, descriptors, _, _ = socket.recv_fds(self._requests, 1, 2)
        if not message:
            return False
        if message == Need.TORCHSCRIPT:
            self._torchscript.prepare()
        answers, ending = (socket.socket(fileno=each) for each in descriptors)
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _serve_and_exit(answers, self._torchscript)
        answers.close()
        self._watched[ending.fileno()] = (pid, ending)
        self._poller.register(ending, 0)  # its end alone
        return True

    def _reap(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._woken.recv(4096):
                pass
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self._tell(pid, os.waitstatus_to_exitcode(status))

    def _tell(self, pid: int, code: int) -> None:
        for descriptor, (watched, ending) in list(self._watched.items()):
            if watched == pid:
                del self._watched[descriptor]
                with contextlib.suppress(KeyError):
                    self._poller.unregister(descriptor)
                with ending, contextlib.suppress(OSError):  # nobody waits any more
                    send(ending, {"code": code})


def _serve_and_exit(answers: socket.socket, torchscript: TorchScript) -> NoReturn:
    code = 1
    try:
        with contextlib.suppress(EOFError, ConnectionError):  # who asked needs it no more
            _serve(answers, torchscript)
        code = 0
    except BaseException:  # whatever it is, the fork must not return into the loop of its parent
        _LOG.exception("a load was ended by a defect")
    finally:
        os._exit(code)


def _serve(answers: socket.socket, torchscript: TorchScript) -> None:
    request = read_request(*receive(answers, array_bytes=_MOST_BYTES))
    try:
        if isinstance(request, LoadRequest):
            _load(answers, request, torchscript)
        else:
            torchscript.check()
            _execute(answers, request)
    except TradewindError as problem:
        send(answers, error_message(problem))
    except SealError as problem:
        send(answers, error_message(UnavailableError(f"TorchScript is not executed: {problem}")))


def _load(answers: socket.socket, request: LoadRequest, torchscript: TorchScript) -> None:
    """Bounded by an alarm, which no hanging network can put off, and by memory."""
    os.nice(_NICENESS)
    signal.setitimer(signal.ITIMER_REAL, request.bounds.timeout_s)
    bundle = read_bundle(request.folder, request.limits, request.trusted)
    if bundle.metadata.graph is not None:
        send(answers, *bundle_frame(bundle))
        send(answers, *lowered_message(lower_declared(bundle.metadata, bundle.weights)))
    elif torchscript.ready or torchscript.lack:
        torchscript.check()
        send(answers, *bundle_frame(bundle))
        _prove(answers, bundle, request)
    else:
        send(answers, {"need": Need.TORCHSCRIPT.decode()})


def _prove(answers: socket.socket, bundle: Bundle, request: LoadRequest) -> None:
    from tradewind.policy.sealed.worker import prove

    seal_process(
        [answers.fileno()],
        memory_mb=request.bounds.memory_mb,
        partly=request.bounds.allow_unsealed,
    )
    prove(answers, bundle)


def _execute(answers: socket.socket, request: ExecuteRequest) -> None:
    from tradewind.policy.sealed.worker import answer_calls, load

    seal_process(
        [answers.fileno()], memory_mb=request.bounds.memory_mb, partly=request.allow_unsealed
    )
    network = load(answers, request.policy_pt, request.observations)
    if network is not None:
        answer_calls(answers, network)


if __name__ == "__main__":
    main()
