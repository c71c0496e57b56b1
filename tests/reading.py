"""How docs/reference/bundle.md says that a declared network is read with NumPy alone."""

import re
from pathlib import Path

__all__ = ["numpy_reader"]

_PAGE = Path(__file__).parents[1] / "docs" / "reference" / "bundle.md"


def numpy_reader() -> str:
    """The code on the page: `read_safetensors` and `act`."""
    blocks = re.findall(r"```python\n(.*?)```", _PAGE.read_text(), re.DOTALL)
    code = next(str(block) for block in blocks if "def act" in block)
    assert len([line for line in code.splitlines() if line]) <= 60
    return code
