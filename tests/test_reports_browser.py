"""The page in a browser and on paper."""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from reports import page
from tests.synthetic_study import write_study

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


PROBE = """
<script>
const headed = (table) => [...table.querySelectorAll("th")].map((head) => head.textContent);
const table = [...document.querySelectorAll("table")].find(
  (one) => headed(one).some((text) => text.startsWith("Accuracy")));
const names = () => [...table.tBodies[0].rows].map((row) => row.cells[0].textContent);
const heads = [...table.querySelectorAll("th")];
const accuracy = heads.find((head) => head.textContent.startsWith("Accuracy"));
const before = names();
accuracy.querySelector("button").click();
const rising = names();
accuracy.querySelector("button").click();
const falling = names();
const steps = heads.find((head) => head.textContent.startsWith("T*"));
steps.querySelector("button").click();
const reached = names();
document.querySelector("button.plot").click();
const open = document.getElementById("large").open;
document.getElementById("large").close();
const report = { before, rising, falling, reached, open, sort: accuracy.getAttribute("aria-sort"),
  width: document.documentElement.scrollWidth, window: innerWidth,
  hint: getComputedStyle(document.querySelector(".aside")).display,
  svg: document.querySelector("figure svg").getBoundingClientRect().right,
  nav: [...document.querySelectorAll("nav a")].map((link) => link.getBoundingClientRect().right),
  fetched: performance.getEntriesByType("resource").map((entry) => entry.name) };
const saved = [];
window.hand = (blob, name) => {  // instead of the browser's own download
  saved.push([name, blob.type, blob.size > 1000]);
  if (saved.length === 2) parent.postMessage(JSON.stringify({ ...report, saved }), "*");
};
for (const link of document.querySelectorAll("a[data-save]")) link.click();
</script>
"""


FRAME = """<!doctype html>
<iframe src="probe.html" width="{width}" height="900" style="border:0"></iframe>
<pre id="probe"></pre>
<script>
addEventListener("message", (event) => {{
  document.getElementById("probe").textContent = event.data;
}});
</script>
"""


@pytest.fixture
def built(tmp_path, monkeypatch):
    """The page of a made-up study, with one figure."""
    name = "accuracy-timesteps"
    monkeypatch.setattr(page, "FIGURES", {name: page.FIGURES[name]})
    home = tmp_path / "runs" / "made-up"
    home.mkdir(parents=True)
    return page.build([write_study(home, timesteps=(1, 2, 4, 8, 16, 32))], tmp_path / "out")


def browse(path: Path, profile: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [
        str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
        "--no-first-run", "--disable-background-networking", "--disable-component-update",
        "--disable-sync", "--enable-logging=stderr", f"--user-data-dir={profile}", *options,
        path.as_uri(),
    ]  # fmt: skip
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
@pytest.mark.parametrize("width", [1280, 400])
def test_in_a_browser(built, tmp_path, width):
    probed = built.with_name("probe.html")
    probed.write_text(built.read_text(encoding="utf-8").replace("</body>", PROBE + "</body>"))
    framed = built.with_name("frame.html")  # a window has a least width, a frame has none
    framed.write_text(FRAME.format(width=width))
    done = browse(framed, tmp_path / "profile", "--virtual-time-budget=3000", "--dump-dom")
    assert "CONSOLE" not in done.stderr, done.stderr
    found = re.search(r'<pre id="probe">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found, done.stderr
    result = json.loads(html.unescape(found.group(1)))
    assert result["before"] == ["ANN", "data-norm", "robust-norm", "spike-norm", "bptt"]
    assert result["rising"][0] == "spike-norm"
    assert result["falling"] == result["rising"][::-1]
    assert result["reached"][0] == "bptt"  # least steps first, `not reached` later
    assert result["reached"][-1] == "ANN"  # missing last
    assert result["sort"] == "none"
    assert result["open"]
    assert result["saved"] == [
        ["accuracy-timesteps.svg", "image/svg+xml", True],
        ["accuracy-timesteps.png", "image/png", True],
    ]
    assert result["fetched"] == []
    assert max(result["svg"], *result["nav"]) <= width  # nothing is cut
    if width == 400:
        assert result["hint"] != "none"  # the table is wider, and says so
    assert result["window"] == width
    assert result["width"] <= result["window"]  # nothing sticks out sideways


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_on_paper(built, tmp_path):
    browse(built, tmp_path / "profile", f"--print-to-pdf={tmp_path / 'page.pdf'}")
    assert (tmp_path / "page.pdf").read_bytes().startswith(b"%PDF")
    if shutil.which("pdftotext") is None:
        return
    command = ["pdftotext", "-layout", "page.pdf", "-"]
    text = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    for words in ("To stay within 1 point", "T*(1 point):", "Caveats", "isospike compare made-up"):
        assert words in text  # notes are unfolded, nothing is cut off
    for words in ("Markdown", "PNG"):
        assert words not in text  # what can only be clicked is not printed
