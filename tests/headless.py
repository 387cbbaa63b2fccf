"""A headless browser, and the arithmetic of contrast that pages are checked with."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

pytest.importorskip("playwright", reason="playwright is not installed: pip install -e '.[test]'")
from playwright.sync_api import Browser, sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
NEEDS_BROWSER = pytest.mark.skipif(
    CHROMIUM is None, reason="no chromium on the path: apt-get install chromium, as a browser for this test"
)

COLOURS = """
  const parse = text => (text.match(/[\\d.]+/g) || []).map(Number);
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map(v => (v /= 255) <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
    return .2126 * x + .7152 * y + .0722 * z;
  };
  const back = node => {
    for (; node; node = node.parentElement) {
      const color = parse(getComputedStyle(node).backgroundColor);
      if (color.length === 3 || color[3] > 0) return color;
    }
    return [255, 255, 255];
  };
  const contrast = (one, other) => (Math.max(one, other) + .05) / (Math.min(one, other) + .05);
"""
"""JavaScript: luminance of a colour, what is behind a node, and contrast (WCAG 2: 4.5 is readable)."""


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run a headless browser."""
    with sync_playwright() as started:
        sandbox = [] if os.geteuid() else ["--no-sandbox"]  # chromium refuses to run as root with one
        launched = started.chromium.launch(executable_path=CHROMIUM, args=sandbox)
        yield launched
        launched.close()
