"""The risk policy in force, replaced while the service runs when its file changes."""

import json
import logging
import threading
from pathlib import Path
from typing import Final

from risk_service.telemetry import Telemetry
from tradewind.errors import RiskPolicyError
from tradewind.files import read_file
from tradewind.risk import EnforcedPolicy, RiskAgentV2, RiskOverlay, RiskPolicy, loosens
from tradewind.risk.decision import RiskPolicyStatus

__all__ = ["LoadedPolicy", "PolicySource"]

_LOG = logging.getLogger(__name__)
_STOP_S: Final = 5.0

_Texts = tuple[bytes | str, ...]
"""Content of each file, or why it cannot be read."""


class LoadedPolicy:
    """A policy and its overlay, ready to serve.

    Attributes:
        enforced: Both.
        policy: The policy.
        digest: Its digest.
        overlay_digest: Digest of the overlay; empty for none.
        agent: Calculates its metrics.
        rules: Applies its rules and the overlay's.
    """

    def __init__(self, enforced: EnforcedPolicy, agent: RiskAgentV2 | None = None) -> None:
        """Takes the agent of an equal policy, if there is one, or warms up its own."""
        self.enforced = enforced
        self.policy = enforced.policy
        if agent is None:
            agent = RiskAgentV2(self.policy)
            agent.warm_up()
        self.agent = agent
        self.digest = agent.policy_digest
        self.overlay_digest = enforced.overlay_digest
        self.rules = enforced.rule_engine()


class PolicySource:
    """Loads the policy file, and the overlay file if there is one, and polls both for changes.

    A call takes `current` once and stays with it to its end, so a change drops no call. Both files
    are one thing: changed ones take over together, once two looks in a row have found the same,
    both are whole, the overlay makes this policy stricter, and every rule that halts or liquidates
    is at least as strict as it was. What is refused changes nothing but `refusal`, the log and the
    metrics. So an overlay whose file is gone stays on, and a policy that it is not for waits.

    Args:
        path: The policy file.
        poll_s: Seconds between two looks at it.
        telemetry: Where loads and refusals are counted.
        overlay: The overlay file; None for none.
        may_loosen: Takes over what drops or loosens such a rule, too.

    Attributes:
        current: The policy in force.
        refusal: Why the files as they now stand are refused; empty when they are in force.

    Raises:
        RiskPolicyError: A file is refused at the start.
    """

    def __init__(
        self,
        path: Path,
        poll_s: float,
        telemetry: Telemetry,
        *,
        overlay: Path | None = None,
        may_loosen: bool = False,
    ) -> None:
        self._paths = (path,) if overlay is None else (path, overlay)
        self._poll_s = poll_s
        self._telemetry = telemetry
        self._may_loosen = may_loosen
        texts = self._read()
        self.current = LoadedPolicy(self._parse(texts))
        self._seen = self._judged = texts
        self.refusal = ""
        self._say_what_is_loaded()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._poll, name="policy", daemon=True)
        self._thread.start()

    @property
    def status(self) -> RiskPolicyStatus:
        """What the service says of the policy in force and its overlay."""
        loaded = self.current
        policy, overlay = loaded.policy, loaded.enforced.overlay
        declared = tuple(policy.calculators.enabled())
        return RiskPolicyStatus(
            policy_digest=loaded.digest,
            limits=loaded.enforced.tightened.rule_limits(),
            calculators=tuple(each.name for each in declared),
            rules=tuple(loaded.rules.describe()),
            canonical_json=policy.canonical_json(),
            refusal=self.refusal,
            parts_json=json.dumps(policy.parts, sort_keys=True),
            overlay_digest=loaded.overlay_digest,
            overlay_json=overlay.model_dump_json(by_alias=True) if loaded.overlay_digest else "",
            declared=declared,
        )

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
                self._refuse(f"loading {self._paths[0]} failed: {type(problem).__name__}")

    def _look(self) -> None:
        before, self._seen = self._seen, self._read()
        # A file that is being written differs from one look to the next. What is refused is judged
        # again once a file changes.
        if self._seen != before or self._seen == self._judged:
            return
        self._judged = self._seen
        try:
            self._take_over(self._parse(self._seen))
        except RiskPolicyError as problem:
            self._refuse(str(problem))

    def _read(self) -> _Texts:
        return tuple(_read(path) for path in self._paths)

    def _parse(self, texts: _Texts) -> EnforcedPolicy:
        for text in texts:
            if isinstance(text, str):
                raise RiskPolicyError(text)
        path, overlay_path = self._paths[0], self._paths[-1]
        whole = [text for text in texts if isinstance(text, bytes)]
        policy = RiskPolicy.from_text(whole[0], str(path))
        if len(whole) == 1:
            return EnforcedPolicy(policy)
        overlay = RiskOverlay.from_text(whole[1], str(overlay_path))
        try:
            return EnforcedPolicy(policy, overlay)
        except RiskPolicyError as problem:
            raise RiskPolicyError(f"{overlay_path}: {problem}") from None

    def _take_over(self, enforced: EnforcedPolicy) -> None:
        before = self.current
        loosened = (
            [] if self._may_loosen else loosens(before.enforced.tightened, enforced.tightened)
        )
        if loosened:
            raise RiskPolicyError(
                f"{', '.join(map(str, self._paths))} would loosen what halts or liquidates: "
                f"{'; '.join(loosened)}. "
                "Restart the service to have it all the same, or set policy_may_loosen: true"
            )
        same = enforced.policy == before.policy
        self.current = LoadedPolicy(enforced, before.agent if same else None)
        self.refusal = ""
        _LOG.info("risk policy %s replaces %s", self.current.digest, before.digest)
        self._say_what_is_loaded()

    def _say_what_is_loaded(self) -> None:
        loaded = self.current
        self._telemetry.policy_loaded(loaded.digest, loaded.agent.costs, loaded.overlay_digest)
        if loaded.overlay_digest:
            _LOG.warning(
                "the overlay %s is on: %s",
                loaded.overlay_digest,
                loaded.enforced.overlay.model_dump_json(exclude_defaults=True, by_alias=True),
            )
        for path, why in loaded.enforced.tightened.unenforced_limits().items():
            _LOG.warning("no rule enforces %s: %s", path, why)

    def _refuse(self, reason: str) -> None:
        self.refusal = reason
        self._telemetry.policy_refused()
        _LOG.error("the risk policy stays %s: %s", self.current.digest, reason)


def _read(path: Path) -> bytes | str:
    try:
        return read_file(path)
    except OSError as problem:
        return f"cannot read {path}: {problem.strerror}"
