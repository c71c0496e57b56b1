"""The risk policy in force, replaced while the service runs when its file changes."""

import logging
import threading
from pathlib import Path
from typing import Final

from risk_service.telemetry import Telemetry
from tradewind.errors import RiskPolicyError
from tradewind.files import read_file
from tradewind.risk import RiskAgentV2, RiskPolicy, loosens
from tradewind.risk.rules import RuleEngine

__all__ = ["LoadedPolicy", "PolicySource"]

_LOG = logging.getLogger(__name__)
_STOP_S: Final = 5.0


class LoadedPolicy:
    """A policy ready to serve: its agent is warmed up.

    Attributes:
        policy: The policy.
        digest: Its digest.
        agent: Calculates its metrics.
        rules: Applies its rules.
    """

    def __init__(self, policy: RiskPolicy) -> None:
        self.policy = policy
        self.agent = RiskAgentV2(policy)
        self.agent.warm_up()
        self.digest = self.agent.policy_digest
        self.rules = RuleEngine(policy.rules, policy.rule_limits())


class PolicySource:
    """Loads the policy file and polls it for changes.

    A call takes `current` once and stays with it to its end, so a change drops no call. A changed
    file takes over once two looks in a row have found the same, it is whole, and it keeps every
    rule that halts or liquidates at least as strict as it was. One that is refused changes nothing
    but `refusal`, the log and the metrics.

    Args:
        path: The policy file.
        poll_s: Seconds between two looks at it.
        telemetry: Where loads and refusals are counted.
        may_loosen: Takes over a policy that drops or loosens such a rule, too.

    Attributes:
        current: The policy in force.
        refusal: Why the file as it now stands is refused; empty when it is the policy in force.

    Raises:
        RiskPolicyError: The file is refused at the start.
    """

    def __init__(
        self, path: Path, poll_s: float, telemetry: Telemetry, *, may_loosen: bool = False
    ) -> None:
        self._path = path
        self._poll_s = poll_s
        self._telemetry = telemetry
        self._may_loosen = may_loosen
        text = _read(path)
        self.current = LoadedPolicy(RiskPolicy.from_text(text, str(path)))
        self._seen: bytes | str = text
        self._judged: bytes | str = text
        self.refusal = ""
        _warn_of_unenforced_limits(self.current.policy)
        telemetry.policy_loaded(self.current.digest, self.current.agent.costs)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._poll, name="policy", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stops polling."""
        self._stopping.set()
        self._thread.join(_STOP_S)  # a file system that hangs does not keep the process

    def _poll(self) -> None:
        while not self._stopping.wait(self._poll_s):
            try:
                self._look()
            except Exception as problem:  # whatever a file holds, the policy in force stays
                _LOG.exception("loading the risk policy failed")
                self._refuse(f"loading {self._path} failed: {type(problem).__name__}")

    def _look(self) -> None:
        seen: bytes | str
        try:
            seen = _read(self._path)
        except RiskPolicyError as problem:
            seen = str(problem)
        before, self._seen = self._seen, seen
        # A file that is being written differs from one look to the next. One that is refused is
        # judged again once it changes.
        if seen != before or seen == self._judged:
            return
        self._judged = seen
        try:
            if isinstance(seen, str):
                raise RiskPolicyError(seen)
            self._take_over(RiskPolicy.from_text(seen, str(self._path)))
        except RiskPolicyError as problem:
            self._refuse(str(problem))

    def _take_over(self, policy: RiskPolicy) -> None:
        loosened = [] if self._may_loosen else loosens(self.current.policy, policy)
        if loosened:
            raise RiskPolicyError(
                f"{self._path} would loosen what halts or liquidates: {'; '.join(loosened)}. "
                "Restart the service to have it all the same, or set policy_may_loosen: true"
            )
        loaded = LoadedPolicy(policy)
        before, self.current, self.refusal = self.current.digest, loaded, ""
        self._telemetry.policy_loaded(loaded.digest, loaded.agent.costs)
        _LOG.info("risk policy %s replaces %s", loaded.digest, before)
        _warn_of_unenforced_limits(policy)

    def _refuse(self, reason: str) -> None:
        self.refusal = reason
        self._telemetry.policy_refused()
        _LOG.error("the risk policy stays %s: %s", self.current.digest, reason)


def _read(path: Path) -> bytes:
    try:
        return read_file(path)
    except OSError as problem:
        raise RiskPolicyError(f"cannot read {path}: {problem.strerror}") from None


def _warn_of_unenforced_limits(policy: RiskPolicy) -> None:
    for path, why in policy.unenforced_limits().items():
        _LOG.warning("no rule enforces %s: %s", path, why)
