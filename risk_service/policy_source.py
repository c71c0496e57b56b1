"""The risk policy in force, replaced while the service runs when its file changes."""

import hashlib
import logging
import threading
from pathlib import Path

from risk_service.telemetry import Telemetry
from tradewind.errors import RiskPolicyError
from tradewind.risk import RiskAgentV2, RiskPolicy
from tradewind.risk.rules import RuleEngine

__all__ = ["LoadedPolicy", "PolicySource"]

_LOG = logging.getLogger(__name__)


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

    A call takes `current` once and stays with it to its end, so a change drops no call. A file
    that is refused changes nothing but `refusal`, the log and the metrics.

    Args:
        path: The policy file.
        poll_s: Seconds between two looks at it.
        telemetry: Where loads and refusals are counted.

    Attributes:
        current: The policy in force.
        refusal: Why the file as it now stands is refused; empty when it is the policy in force.

    Raises:
        RiskPolicyError: The file is refused at the start.
    """

    def __init__(self, path: Path, poll_s: float, telemetry: Telemetry) -> None:
        self._path = path
        self._poll_s = poll_s
        self._telemetry = telemetry
        self._seen = self._fingerprint()
        self.current = LoadedPolicy(RiskPolicy.from_yaml(path))
        self.refusal = ""
        telemetry.policy_loaded(self.current.digest)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._poll, name="policy", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stops polling."""
        self._stopping.set()
        self._thread.join()

    def _poll(self) -> None:
        while not self._stopping.wait(self._poll_s):
            fingerprint = self._fingerprint()
            if fingerprint != self._seen:
                # Remembered before loading: a file that is refused is tried again once it changes.
                self._seen = fingerprint
                self._reload()

    def _reload(self) -> None:
        try:
            loaded = LoadedPolicy(RiskPolicy.from_yaml(self._path))
        except RiskPolicyError as problem:
            self._refuse(str(problem))
        except Exception as problem:  # whatever a file holds, the policy in force stays
            _LOG.exception("loading the risk policy failed")
            self._refuse(f"loading {self._path} failed: {type(problem).__name__}")
        else:
            before, self.current, self.refusal = self.current.digest, loaded, ""
            self._telemetry.policy_loaded(loaded.digest)
            _LOG.info("risk policy %s replaces %s", loaded.digest, before)

    def _refuse(self, reason: str) -> None:
        self.refusal = reason
        self._telemetry.policy_refused()
        _LOG.error("the risk policy stays %s: %s", self.current.digest, reason)

    def _fingerprint(self) -> str:
        """Digest of the file's bytes; empty when it cannot be read."""
        try:
            return hashlib.sha256(self._path.read_bytes()).hexdigest()
        except OSError:
            return ""
