"""A page as a real browser shows it: what Chromium, run without a window, says of its layout."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html import escape
from pathlib import Path
from typing import Any

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

_LOOK = (Path(__file__).parent / "look.js").read_text(encoding="utf-8")
_POLICY = re.compile(r'<meta http-equiv="Content-Security-Policy"[^>]*>')


def look(page: Path, folder: Path, *, width: int) -> dict[str, Any]:
    """Return what a frame of so many pixels in a browser shows of a page, and the `console` it wrote."""
    text = _POLICY.sub("", page.read_text(encoding="utf-8"))
    inner = escape(text.replace("</body>", f"<script>{_LOOK}</script></body>"))
    asking = folder / f"asked{width}.html"
    frame = f'<iframe srcdoc="{inner}" style="width: {width}px; height: 900px; border: 0"></iframe>'
    asking.write_text(f'<!DOCTYPE html><meta charset="utf-8"><body>{frame}</body>', encoding="utf-8")
    command = [
        *(str(CHROMIUM), "--headless=new", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"),
        *(f"--user-data-dir={folder / 'profile'}", "--window-size=1400,900", "--dump-dom", asking.as_uri()),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    (found,) = re.findall(r'<script type="application/json" id="looked">(.*?)</script>', done.stdout, flags=re.DOTALL)
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return json.loads(found) | {"console": console}
