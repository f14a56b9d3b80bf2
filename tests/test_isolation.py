"""The suite's own promise: it never touches the user's kernel cache."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def test_caches_lie_in_the_temporary_folder_of_this_run(cache_folder: Path) -> None:
    temporary = Path(tempfile.gettempdir()).resolve()
    assert cache_folder.resolve().is_relative_to(temporary)
    assert Path(os.environ["XDG_CACHE_HOME"]).resolve().is_relative_to(temporary)
