"""Who may call what: identities, their roles, and the file that gives one to the other."""

from tradewind.rpc.access.claims import proven, proven_name
from tradewind.rpc.access.control import AccessControl
from tradewind.rpc.access.policy import AccessPolicy, AccessSettings, Identity
from tradewind.rpc.access.roles import METHOD_ROLES, PUBLIC_METHODS, Role
from tradewind.rpc.access.token import bearer_metadata, make_token, read_token, token_digest
from tradewind.rpc.access.verifier import (
    TOKEN_VERIFIERS,
    TokenVerifier,
    TokenVerifierSettings,
    VerifiedToken,
)

__all__ = [
    "METHOD_ROLES",
    "PUBLIC_METHODS",
    "TOKEN_VERIFIERS",
    "AccessControl",
    "AccessPolicy",
    "AccessSettings",
    "Identity",
    "Role",
    "TokenVerifier",
    "TokenVerifierSettings",
    "VerifiedToken",
    "bearer_metadata",
    "make_token",
    "proven",
    "proven_name",
    "read_token",
    "token_digest",
]
