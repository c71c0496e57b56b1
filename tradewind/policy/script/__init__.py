"""What a TorchScript archive would do, read from its own text before any of it is loaded.

Loading an archive runs code of it (`__setstate__`), and so does freezing it. So nothing is given to
torch but an archive that was packed anew from records that were read, understood and allowed here.
"""

from tradewind.policy.script.check import check_script

__all__ = ["check_script"]
