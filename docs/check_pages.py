"""Look at the built manual in headless Chromium: python docs/check_pages.py docs/_build

No page may scroll sideways, at 1300 and at 400 pixels. Every picture must load and have alternative text, formulas must be there
without a network, tables must sort and filter, and the search must find a page. Prints what is wrong, and exits with 1 if
anything is.
"""

import html
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

SCRIPT = """
const pages = %s, wrong = [];
const frame = document.createElement("iframe");
frame.style.cssText = "border: 0; height: 1600px";
document.body.append(frame);
const wait = (ms) => new Promise((done) => setTimeout(done, ms));
const open = (url) => new Promise((done) => { frame.onload = () => done(frame.contentDocument); frame.src = url; });

async function look(page, width) {
  const say = (text) => wrong.push(`${page}, ${width} px: ${text}`);
  frame.style.width = `${width}px`;
  document.title = page;
  const doc = await open(page), root = doc.documentElement;
  if (root.scrollWidth > root.clientWidth) {
    const wide = [...doc.querySelectorAll("article *")].filter((e) => e.getBoundingClientRect().right > root.clientWidth);
    say(`${root.scrollWidth} pixels wide: ${wide.slice(0, 3).map((e) => e.tagName + "." + e.className)}`);
  }
  for (const image of doc.querySelectorAll("article img")) {
    if (!image.naturalWidth) say(`no picture: ${image.getAttribute("src")}`);
    if (!image.alt || image.alt === image.getAttribute("src")) say(`no alternative text: ${image.getAttribute("src")}`);
  }
  for (const math of doc.querySelectorAll(".math")) if (!math.querySelector("math")) say(`no formula: ${math.textContent}`);
  for (const e of doc.querySelectorAll("script[src], link[rel=stylesheet]"))
    if (/^https?:/.test(e.getAttribute("src") ?? e.getAttribute("href"))) say(`needs a network: ${e.outerHTML}`);
  return doc;
}

async function lookAtAll() {
  for (const page of pages) for (const width of [1300, 400]) await look(page, width);
  const doc = await open("choose.html");
  const table = doc.querySelector(".sortable table"), box = doc.querySelector(".filter");
  const first = () => table.tBodies[0].rows[0].cells[1].textContent;
  table.tHead.rows[0].cells[1].click();
  const best = Number(first());
  table.tHead.rows[0].cells[1].click();
  if (!(best > Number(first()))) wrong.push(`choose.html: sorting shows ${best}, then ${first()}`);
  box.value = "densenet bsd";
  box.dispatchEvent(new Event("input"));
  const shown = [...table.tBodies[0].rows].filter((row) => !row.hidden).map((row) => row.cells[0].textContent.trim());
  if (!shown.length || !shown.every((name) => name.startsWith("densenet"))) wrong.push(`choose.html: filtering shows ${shown}`);
  const search = await open("search.html?q=fine-tune");
  await wait(5000); // results appear one by one
  const found = [...search.querySelectorAll("#search-results li a")].map((link) => link.getAttribute("href"));
  if (!found.some((link) => link.startsWith("finetuning"))) wrong.push(`search.html does not find fine-tuning: ${found}`);
}

lookAtAll().catch((error) => wrong.push(String(error.stack))).then(() => {
  document.body.textContent = `answer: ${JSON.stringify(wrong)}`;
});
"""


def main() -> None:
    built = Path(sys.argv[1]).resolve()
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        print("no Chromium is installed, so nobody looked at the pages")
        return
    skipped = {"genindex.html", "py-modindex.html", "search.html"}
    names = [path.relative_to(built) for path in sorted(built.rglob("*.html"))]
    pages = [str(name) for name in names if not name.parts[0].startswith("_") and str(name) not in skipped]
    harness = built / "check_pages.html"
    harness.write_text(f"<!doctype html><body><script>{SCRIPT % json.dumps(pages)}</script></body>")
    with tempfile.TemporaryDirectory() as profile:
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files", "--virtual-time-budget=3000000"]
        flags += ["--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={profile}", "--dump-dom"]
        dom = subprocess.run([chromium, *flags, harness.as_uri()], capture_output=True, text=True, check=True).stdout  # noqa: S603
    harness.unlink()
    answer = re.search(r"<body>answer: (.*)</body>", dom, re.DOTALL)
    wrong = json.loads(html.unescape(answer[1])) if answer else ["Chromium did not finish"]
    print("\n".join([f"{len(pages)} pages", *wrong]))
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
