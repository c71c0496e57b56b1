"""A process gives up every right but to calculate and to answer on the descriptors it keeps.

No package index has a binding of these parts of the kernel that is kept up, so they are called with
ctypes. Nothing here needs root, and nothing can be undone.
"""

from tradewind.sealing.seal import (
    SealError,
    environment_of_a_seal,
    missing_protections,
    seal_process,
)

__all__ = ["SealError", "environment_of_a_seal", "missing_protections", "seal_process"]
