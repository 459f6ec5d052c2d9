"""Where the helpers of this room's tests are."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))
