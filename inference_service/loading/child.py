"""The loading process: `python -m inference_service.loading.child FD CORE,… LOG`.

It imports torch once and forks for each bundle. What a network does to its fork, be it an endless
loop, a crash or too much memory, ends that fork alone; and nothing that a load leaves behind in
torch adds up. It has one thread, so a fork is a whole process. A network that only TorchScript can
execute gets a fork that stays and executes it.
"""

import contextlib
import gc
import io
import logging
import os
import resource
import signal
import socket
import sys
from multiprocessing.connection import Connection
from typing import Any, NoReturn

import numpy as np
import torch
from torch import Tensor, nn

from inference_service.loading.messages import (
    ExecuteCall,
    ExecuteRequest,
    ExecutorReady,
    LoadOutcome,
    LoadRequest,
    ProvedBundle,
)
from inference_service.loading.settings import LoaderSettings
from tradewind.bundle import BoxSpace, BundleFault, GoldenSet, read_bundle
from tradewind.errors import BundleRuntimeError, LoweringError, TradewindError
from tradewind.logs import LogSettings, set_up_logging
from tradewind.policy import (
    TorchScriptNetwork,
    lower_and_prove,
    open_network,
    use_one_torch_thread,
)

__all__ = ["main"]

_LOG = logging.getLogger("inference_service.loading.child")  # it is __main__
_MIB = 1024 * 1024
_NICENESS = 5  # calls under way come first, but a load does not starve


def main() -> None:
    """Answers requests until every process that could send one has ended."""
    requests = socket.socket(fileno=int(sys.argv[1]))
    os.sched_setaffinity(0, map(int, sys.argv[2].split(",")))
    log = LogSettings.model_validate_json(sys.argv[3])
    set_up_logging(log, "inference_service", process="loading")
    use_one_torch_thread()
    _warm_up()
    gc.freeze()  # a collection in a fork would copy the pages of every object there is
    while True:
        message, descriptors, _, _ = socket.recv_fds(requests, 1, 1)
        if not message:
            return
        _reap()
        with Connection(descriptors[0]) as answers:
            _serve(answers, requests)


def _reap() -> None:
    """Takes note of the executors that have ended."""
    with contextlib.suppress(ChildProcessError):  # there is none
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _serve(answers: "Connection[Any, Any]", requests: socket.socket) -> None:
    try:
        request = answers.recv()
        if answers.poll():  # nothing more is ever said: who asked has given up
            return
    except (EOFError, ConnectionError):  # or has ended
        return
    pid = os.fork()
    if isinstance(request, ExecuteRequest):
        if pid == 0:
            requests.close()
            _execute_and_exit(answers, request)
        return
    if pid == 0:
        _answer_and_exit(answers, request)
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    if code != 0:
        with contextlib.suppress(OSError):  # nobody waits any more
            answers.send(_death(request, code))


def _answer_and_exit(
    answers: "Connection[LoadOutcome, LoadRequest]", request: LoadRequest
) -> NoReturn:
    code = 1
    try:
        _bound(request.bounds)
        outcome = _load(request)
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        with contextlib.suppress(BrokenPipeError):  # nobody waits any more
            answers.send(outcome)
        code = 0
    except BaseException:  # whatever it is, the fork must not return into the loop of its parent
        _LOG.exception("a load was ended by a defect")
    finally:
        os._exit(code)


def _execute_and_exit(answers: "Connection[Any, Any]", request: ExecuteRequest) -> NoReturn:
    code = 1
    try:
        with contextlib.suppress(EOFError, ConnectionError):  # who asked needs it no more
            _execute(answers, request)
        code = 0
    except BaseException:  # whatever it is, the fork must not return into the loop of its parent
        _LOG.exception("an executor was ended by a defect")
    finally:
        os._exit(code)


def _execute(answers: "Connection[Any, Any]", request: ExecuteRequest) -> None:
    try:
        network = TorchScriptNetwork(request.policy_pt)
        network.warm_up(request.observations)
    except TradewindError as problem:
        answers.send(problem)
        return
    answers.send(ExecutorReady(os.getpid()))
    while True:
        call: ExecuteCall = answers.recv()
        try:
            answers.send(getattr(network, call.method)(call.observations))
        except TradewindError as problem:
            answers.send(problem)


def _bound(bounds: LoaderSettings) -> None:
    """Bounds this process by an alarm, which no hanging network can put off, and its memory."""
    os.nice(_NICENESS)
    signal.setitimer(signal.ITIMER_REAL, bounds.timeout_s)
    resource.setrlimit(resource.RLIMIT_DATA, (bounds.memory_mb * _MIB,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _load(request: LoadRequest) -> LoadOutcome:
    try:
        bundle = read_bundle(request.folder, request.limits, request.trusted)
        network = open_network(bundle)
        try:
            lowered = lower_and_prove(network, bundle.metadata.obs_space, bundle.golden)
        except LoweringError as problem:
            return ProvedBundle(bundle, None, str(problem))
        return ProvedBundle(bundle, lowered, "")
    except TradewindError as problem:
        return problem
    except MemoryError:
        return _refusal(
            request,
            f"loading it takes more than {request.bounds.memory_mb} MB",
            BundleFault.MODEL_TOO_LARGE,
        )


def _death(request: LoadRequest, code: int) -> BundleRuntimeError:
    """What the exit code of a fork that gave no answer means."""
    if code == -signal.SIGALRM:
        return _refusal(
            request,
            f"loading it took longer than {request.bounds.timeout_s:g} s",
            BundleFault.MODEL_LOAD_TIMEOUT,
        )
    how = f"exit code {code}" if code > 0 else signal.Signals(-code).name
    return _refusal(
        request,
        f"loading it ended the loading process by {how}",
        BundleFault.MODEL_LOAD_CRASHED,
    )


def _refusal(request: LoadRequest, what: str, fault: BundleFault) -> BundleRuntimeError:
    name = f"{request.folder.parent.name}/{request.folder.name}"
    return BundleRuntimeError(f"bundle {name} is refused: {what}", reason=fault)


class _Smallest(nn.Module):
    """A network that does as little as one can."""

    def forward(self, obs: Tensor) -> Tensor:
        return self.distribution(obs).argmax(dim=1)

    @torch.jit.export
    def distribution(self, obs: Tensor) -> Tensor:
        return torch.relu(obs)


def _warm_up() -> None:
    """Does once, before the first fork, what the first load of a process has to do besides."""
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.script(_Smallest()), buffer)
    network = TorchScriptNetwork(buffer.getvalue())
    observations = np.zeros((2, 2), np.float32)
    golden = GoldenSet(
        observations, network.act(observations)[0], network.distribution(observations)[0]
    )
    lower_and_prove(network, BoxSpace(shape=(2,)), golden)


if __name__ == "__main__":
    main()
