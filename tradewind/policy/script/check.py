"""One check for a whole TorchScript archive."""

from typing import Final

import torch

from tradewind.policy.script.archive import pack_records, read_records
from tradewind.policy.script.pickles import check_pickle
from tradewind.policy.script.text import checked_sources

__all__ = ["check_script"]

_NUMBERS: Final = {"data.pkl": "data", "constants.pkl": "constants"}


def check_script(policy_pt: bytes, *, loops: bool = False) -> bytes:
    """Refuses an archive that would do what no policy may; nothing of it is loaded or executed.

    Args:
        policy_pt: The file.
        loops: Whether `while` is allowed: only where a time limit ends a loop that does not.

    Returns:
        What to load instead: an archive packed anew from the records that were checked.

    Raises:
        BundleRuntimeError: It holds an operation, a class or a tensor that is not allowed
            (MODEL_OPERATION_FORBIDDEN; the message names it and its place), or is no archive of a
            scripted network (MODEL_UNLOADABLE).
    """
    records = read_records(policy_pt)
    for name, folder in _NUMBERS.items():
        check_pickle(name, records[name], folder, records)
    sources = {name: data for name, data in records.items() if name.endswith(".py")}
    return pack_records(records | checked_sources(sources, _is_operation, loops=loops))


def _is_operation(name: str) -> bool:
    return bool(torch._C._jit_get_schemas_for_operator(f"aten::{name}"))
