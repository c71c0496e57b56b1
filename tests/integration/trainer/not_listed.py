"""What no service lists: whoever imports it leaves a file behind."""

import os
from pathlib import Path

Path(os.environ["TRADEWIND_TEST_MARK"]).touch()
