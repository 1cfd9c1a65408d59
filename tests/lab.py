"""A real JupyterLab with its own settings, and a headless Chromium beside it, for the tests of the viewers."""
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
AXE = Path(os.environ.get("TRACEKIT_AXE", ROOT/".browser/node_modules/axe-core/axe.min.js"))
SHOTS = Path(os.environ.get("TRACEKIT_SHOTS", Path(tempfile.gettempdir())/"tracekit-shots"))
HINT = "run: make browser"


def chromium():
    "The Chromium of this machine, or None"
    return os.environ.get("TRACEKIT_CHROMIUM") or next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def needed():
    "Skips where something is missing"
    pytest.importorskip("playwright.sync_api", reason=f"playwright is not installed ({HINT})")
    if not chromium(): pytest.skip(f"no Chromium on this machine ({HINT})")


def notebook(path, *cells):
    "A notebook of code cells"
    made = [{"cell_type": "code", "id": f"c{n}", "metadata": {}, "source": s, "execution_count": None, "outputs": []} for n, s in enumerate(cells)]
    path.write_text(json.dumps({"cells": made, "metadata": {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}, "nbformat": 4, "nbformat_minor": 5}))


class Lab:
    "A JupyterLab server on a free port; `root` is its folder"
    def __init__(self, root: Path):
        self.root, home = root, root.parent/"home"
        settings = home/"settings/@jupyterlab/apputils-extension"
        settings.mkdir(parents=True)
        (settings/"notification.jupyterlab-settings").write_text('{"fetchNews":"false","checkForUpdates":false}')
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        places = {"JUPYTER_CONFIG_DIR": "config", "JUPYTER_DATA_DIR": "data", "JUPYTER_RUNTIME_DIR": "runtime", "JUPYTERLAB_SETTINGS_DIR": "settings", "JUPYTERLAB_WORKSPACES_DIR": "workspaces", "IPYTHONDIR": "ipython"}
        env = {**os.environ, **{k: str(home/v) for k, v in places.items()}, "PYTHONPATH": str(ROOT), "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
        flags = ["--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={self.port}", "--ServerApp.port_retries=0", "--IdentityProvider.token=", "--ServerApp.password=", "--ServerApp.disable_check_xsrf=True",
                 "--expose-app-in-browser", "--LabApp.extension_manager=readonly", f"--ServerApp.root_dir={root}"]
        self.log = open(home/"lab.log", "wb")
        self.process = subprocess.Popen([sys.executable, "-m", "jupyterlab", *flags], stdout=self.log, stderr=subprocess.STDOUT, env=env, start_new_session=True)
        for _ in range(240):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api/status", timeout=1).close()
                return
            except OSError: time.sleep(0.25)
        self.stop()
        raise RuntimeError((home/"lab.log").read_text()[-2000:])

    def stop(self):
        for how in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self.process.pid, how)
                time.sleep(0.3)
            except ProcessLookupError: break
        self.process.wait(20)
        self.log.close()

    def open(self, page, name, run=True):
        "A notebook in the browser, run from top to bottom; what its first viewer is, or the notebook"
        page.goto(f"http://127.0.0.1:{self.port}/lab/tree/{name}?reset", wait_until="domcontentloaded")
        page.wait_for_selector(".jp-NotebookPanel .jp-Notebook", timeout=60_000)
        if not run: return page.locator(".jp-Notebook")
        page.wait_for_function("window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'", timeout=60_000)
        page.evaluate("async () => { jupyterapp.commands.execute('application:toggle-left-area'); await jupyterapp.commands.execute('notebook:run-all-cells') }")
        viewer = page.locator(".tk-viewer").first
        viewer.locator(".tk-e").first.wait_for(timeout=60_000)
        return viewer

    def save(self, page): page.evaluate("async () => { await jupyterapp.commands.execute('docmanager:save') }")


def theme(page, name):
    "JupyterLab Light or JupyterLab Dark"
    page.evaluate("async name => { await jupyterapp.commands.execute('apputils:change-theme', {theme: name}) }", name)
    page.wait_for_function("name => document.body.dataset.jpThemeName === name", arg=name)
    page.wait_for_timeout(300)


def shot(page, name):
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=str(SHOTS/f"{name}.png"))


def serious(page, selector):
    "What axe finds that is serious or critical inside an element"
    if not AXE.is_file(): pytest.skip(f"axe-core is not here ({HINT})")
    if not page.evaluate("typeof axe === 'object'"): page.evaluate(AXE.read_text(encoding="utf-8") + ";0")
    found = page.evaluate("async where => (await axe.run(where, {resultTypes: ['violations']})).violations.map(v => [v.impact, v.id, v.nodes.length, v.nodes[0].html.slice(0, 200), v.nodes[0].any.concat(v.nodes[0].all).map(a => a.message).join('; ')])", selector)
    return [v for v in found if v[0] in ("serious", "critical")]


def focused(page):
    "What has the focus: its element, name and class, and whether the focus can be seen"
    return page.evaluate("""() => { const e = document.activeElement, s = getComputedStyle(e);
        const label = e.getAttribute('aria-label') || e.labels?.[0]?.textContent || (e.id && document.querySelector(`label[for="${e.id}"]`)?.textContent) || e.closest('.widget-inline-hbox')?.querySelector('label,.widget-label')?.textContent || '';
        return {tag: e.tagName.toLowerCase(), text: (e.textContent || '').trim().slice(0, 80), label: label.trim(), cls: e.className, title: e.title || '', here: !!e.closest('.tk-viewer'), outline: s.outlineStyle !== 'none' || s.boxShadow !== 'none' || s.borderStyle !== 'none'} }""")


def tab_to(page, wanted, most=120, key="Tab"):
    "Press Tab until what has the focus is what `wanted` accepts; everything that had it on the way"
    seen = []
    for _ in range(most):
        page.keyboard.press(key)
        seen.append(focused(page))
        if wanted(seen[-1]): return seen
    raise AssertionError(f"never reached; the last were {seen[-5:]}")


def choose(page, wanted, key="Tab"):
    "Go to what `wanted` accepts with Tab and press Enter there; everything that had the focus on the way"
    seen = tab_to(page, wanted, key=key)
    page.keyboard.press("Enter")
    return seen
