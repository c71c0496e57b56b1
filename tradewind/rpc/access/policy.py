"""The access policy: a file of identities, how each proves itself, and its roles."""

import hashlib
import hmac
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Self

from pydantic import Field, model_validator

from tradewind.errors import SettingsError, UnauthenticatedError
from tradewind.files import read_file
from tradewind.rpc.access.roles import Role
from tradewind.settings import Settings, settings_from_text

__all__ = ["AccessPolicy", "AccessSettings", "Identity", "IdentitySettings", "read_access"]

_DIGEST_PREFIX: Final = "sha256:"

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._@-]{0,62}$")]
Digest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
Subject = Annotated[str, Field(min_length=1, max_length=256)]
CertificateName = Annotated[str, Field(min_length=1, max_length=256)]


class IdentitySettings(Settings):
    """One caller."""

    certificates: tuple[CertificateName, ...] = ()
    """Names that its client certificate may bear: a subject alternative name, or the common name of
    a certificate that has none."""

    tokens: tuple[Digest, ...] = ()
    """Digests of its bearer tokens, `sha256:…`; two while one replaces the other."""

    subjects: tuple[Subject, ...] = ()
    """Who the server's token verifier says that its tokens are of."""

    roles: frozenset[Role] = Field(min_length=1)
    """What it may do."""

    resumes_as: str = Field(default="", max_length=64)
    """The role in which it resumes halted accounts, one of the risk service's `resume_roles`; goes
    with the role `resume`."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not (self.certificates or self.tokens or self.subjects):
            raise ValueError(
                "certificates, tokens or subjects: one of them has to prove the identity"
            )
        if (Role.RESUME in self.roles) != bool(self.resumes_as.strip()):
            raise ValueError("resumes_as goes with the role resume: give both or neither")
        return self


class AccessSettings(Settings):
    """The access policy as its file has it."""

    identities: dict[Name, IdentitySettings] = Field(min_length=1)
    """Every caller, by the name under which decisions record it."""

    @model_validator(mode="after")
    def _refuse_proofs_of_two(self) -> Self:
        owners: dict[str, str] = {}
        for name, identity in self.identities.items():
            subjects = (f"the subject {subject}" for subject in identity.subjects)
            for proof in (*identity.certificates, *identity.tokens, *subjects):
                if owners.setdefault(proof, name) != name:
                    raise ValueError(f"{proof} stands for both {owners[proof]} and {name}")
        return self


@dataclass(frozen=True, slots=True)
class Identity:
    """A caller that has proved who it is.

    Attributes:
        name: Its name in the access policy.
        roles: What it may do.
        resumes_as: The role in which it resumes halted accounts; empty when it may not.
    """

    name: str
    roles: frozenset[Role]
    resumes_as: str


def read_access(path: Path) -> bytes:
    """The text of an access policy, which not everybody may have written.

    Raises:
        SettingsError: It cannot be read, or anybody may write it.
    """
    try:
        return read_file(path, unforgeable=True)
    except OSError as problem:
        raise SettingsError(f"cannot read {path}: {problem.strerror}") from None


class AccessPolicy:
    """Finds the identity behind a certificate or a token.

    Args:
        settings: The identities.
    """

    def __init__(self, settings: AccessSettings) -> None:
        self._by_certificate: dict[bytes, Identity] = {}
        self._by_digest: list[tuple[bytes, Identity]] = []
        self._by_subject: dict[str, Identity] = {}
        # Tokens that were accepted; others never get in, so it is no larger than the policy.
        self._accepted: dict[str, Identity] = {}
        for name, each in settings.identities.items():
            identity = Identity(name, each.roles, each.resumes_as)
            for certificate in each.certificates:
                self._by_certificate[certificate.encode()] = identity
            for subject in each.subjects:
                self._by_subject[subject] = identity
            for digest in each.tokens:
                self._by_digest.append(
                    (bytes.fromhex(digest.removeprefix(_DIGEST_PREFIX)), identity)
                )

    @classmethod
    def load(cls, path: Path) -> Self:
        """Reads the file.

        Raises:
            SettingsError: It is refused; each violation names its line.
        """
        return cls.parse(read_access(path), str(path))

    @classmethod
    def parse(cls, text: bytes, source: str) -> Self:
        """As `load`, of a text that was read already and is called `source` in an error."""
        return cls(settings_from_text(text, source, AccessSettings))

    def of_token(self, token: str) -> Identity:
        """Whose token it is.

        Raises:
            UnauthenticatedError: Nobody's.
        """
        known = self._accepted.get(token)
        if known is not None:
            return known
        shown = hashlib.sha256(token.encode(errors="replace")).digest()
        # Every digest is compared to its end, so that the time tells nothing about any of them.
        for digest, identity in self._by_digest:
            if hmac.compare_digest(digest, shown):
                known = identity
        if known is None:
            raise UnauthenticatedError("the bearer token is not known")
        self._accepted[token] = known
        return known

    def of_subject(self, subject: str) -> Identity:
        """Who a token verifier means.

        Raises:
            UnauthenticatedError: Nobody that is here.
        """
        known = self._by_subject.get(subject)
        if known is None:
            raise UnauthenticatedError("the bearer token is of nobody that may call")
        return known

    def of_certificate(self, names: Sequence[bytes]) -> Identity:
        """Whose certificate bears these names.

        Raises:
            UnauthenticatedError: Nobody's, or that of several identities.
        """
        if len(names) == 1 and (known := self._by_certificate.get(names[0])) is not None:
            return known
        found = {each.name: each for each in self._known(names)}
        if len(found) != 1:
            problem = "stands for several identities" if found else "is not known"
            shown = ", ".join(name.decode(errors="replace") for name in names[:8])
            raise UnauthenticatedError(
                f"the client certificate {problem}", metadata={"certificate": shown}
            )
        return next(iter(found.values()))

    def _known(self, names: Iterable[bytes]) -> Iterable[Identity]:
        return (self._by_certificate[name] for name in names if name in self._by_certificate)
