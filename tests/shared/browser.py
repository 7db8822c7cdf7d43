"""Pages as headless Chromium shows them: what it draws, complains about, and asks the network for."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--host-resolver-rules=MAP * ~NOTFOUND",  # nothing is reached, only asked for
)
MEASURE = """
<!DOCTYPE html><html><body style="margin:0"><iframe src="PAGE" style="border:0;width:WIDTHpx;height:3000px"></iframe>
<pre id="found"></pre><script>
const frame = document.querySelector("iframe");
const box = (element) => element.getBoundingClientRect();
const before = (a, b) => a.right <= b.left + 1 || a.bottom <= b.top + 1;
const apart = (a, b) => before(a, b) || before(b, a);
const said = (found) => found.map((each) => each.textContent);
const charts = (page) => [...page.querySelectorAll(".chart")].map((chart) => {
  const filled = (each) => each.textContent.trim() && box(each).width;
  const texts = [...chart.querySelectorAll(".main-svg text")].filter(filled);
  const around = box(chart.querySelector(".plot")), bar = chart.querySelector(".modebar-container .modebar");
  const outside = texts.filter((each) => box(each).left < around.left - 1 || box(each).right > around.right + 1
    || box(each).top < around.top - 1 || box(each).bottom > around.bottom + 1);
  const labels = texts.filter((each) => !each.closest(".heatmaplayer, .hm"));
  const meeting = labels.flatMap((a, i) => labels.slice(i + 1).filter((b) => !apart(box(a), box(b)))
    .map((b) => `${a.textContent} / ${b.textContent}`));
  const covered = bar ? labels.filter((each) => !apart(box(each), box(bar))) : [];
  const count = (what) => chart.querySelectorAll(what).length;
  return {title: chart.querySelector("h3").textContent, drawn: count(".main-svg"),
    marks: count(".trace, .hm, .heatmaplayer image"), meeting, outside: said(outside), covered: said(covered)};
});
const measure = () => {
  const page = frame.contentDocument, places = [...page.querySelectorAll(".chart .plot")];
  const drawn = frame.contentWindow.Plotly && places.every((each) => each.querySelector(".main-svg"));
  if (!drawn) return setTimeout(measure, 100);
  const root = page.documentElement;
  document.querySelector("#found").textContent = JSON.stringify(
    {width: root.scrollWidth, text: page.querySelector("main").innerText, charts: charts(page)});
};
frame.addEventListener("load", () => setTimeout(measure, 500));
</script></body></html>
"""


class Shown(NamedTuple):
    """What a page comes to: its `width`, `text` and `charts`, console lines, and the addresses that were asked for."""

    width: float
    text: str
    charts: list
    console: list
    asked: set


def _run(tmp_path, *more):
    command = [CHROMIUM, *OPTIONS, f"--user-data-dir={tmp_path / 'profile'}", *more]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)


def show(page, width, tmp_path):
    """Return what Chromium makes of a page in a frame of a width; its own window is never narrower than 500 pixels."""
    frame, log = tmp_path / f"frame-{width}.html", tmp_path / "net.json"
    frame.write_text(MEASURE.replace("PAGE", Path(page).resolve().as_uri()).replace("WIDTH", str(width)))
    options = ("--allow-file-access-from-files", "--enable-logging=stderr", f"--log-net-log={log}")
    sized = (f"--window-size={max(width, 500)},3000", "--virtual-time-budget=20000", "--dump-dom", frame.as_uri())
    done = _run(tmp_path, *options, *sized)
    found = re.search(r'<pre id="found">(.*?)</pre>', done.stdout, re.S)
    text = found[1].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    asked = {each["url"] for each in _requests(json.loads(log.read_text())) if not each["url"].startswith("file:")}
    return Shown(**json.loads(text), console=console, asked=asked)


def _requests(log):
    """Yield what pages asked for; what Chromium asks for on its own has no origin."""
    for event in log["events"]:
        params = event.get("params", {})
        if "url" in params and params.get("initiator", "not an origin") != "not an origin":
            yield params


def printed(page, tmp_path):
    """Return a page printed as PDF."""
    out = tmp_path / "printed.pdf"
    _run(tmp_path, "--no-pdf-header-footer", f"--print-to-pdf={out}", Path(page).resolve().as_uri())
    return out.read_bytes()
