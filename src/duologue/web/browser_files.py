"""The files that run in browsers: the web client and the phones' page in `webapp`, the SDK in `clients/javascript`.

In a checkout it is the checkout, so that a change shows at the next start of the server, without a build. A wheel
carries a copy of those folders.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import duologue

_PACKAGE: Final = Path(duologue.__file__).parent
_COPY: Final = _PACKAGE / "browser"

BROWSER_FILES: Final = _COPY if _COPY.is_dir() else _PACKAGE.parents[1]
"""The folder that `webapp` and `clients` are in."""
