"""Where the tests find the sample, the makers' shared folder and the platform's own package."""
import json
import os
import signal
import subprocess
from pathlib import Path

import lab
import pytest
from hypothesis import settings

import tracekit.cli

settings.register_profile("tracekit", deadline=None, derandomize=True, database=None)   # the same examples in every run
settings.load_profile("tracekit")

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("TRACEKIT_SHARED", ROOT.parent/"shared"))
ORACLE = Path(os.environ.get("TRACEKIT_ORACLE", ROOT/".oracle"/"aigo"/"bin"/"python"))
SAMPLE = Path(tracekit.cli.__file__).parent/"data"/"telecom.json"
NO_SHARED = "the makers' shared folder is not here: set TRACEKIT_SHARED to its path"
NO_ORACLE = "the platform's package is not installed: make it with shared/oracle/setup .oracle aigo, or set TRACEKIT_ORACLE to its python"
LOGS = {"real_log": ("real", "0*"), "scripted_log": ("scripted", "*__*.json")}


def logs(kind: str) -> list[Path]:
    "The shared tau2 logs of one kind, in order; none without the shared folder"
    folder, pattern = LOGS[kind]
    return sorted((SHARED/"data"/"tau2"/folder).glob(pattern))


def simulations(path: Path) -> list[dict]:
    "The simulations of a tau2 log of any layout, read as plainly as can be"
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".jsonl": return [json.loads(line) for line in text.split("\n") if line.strip()]
    document = json.loads(text)
    if isinstance(document, list): return document
    return document["simulations"] if "simulations" in document else [document]


def pytest_generate_tests(metafunc):
    "A test that asks for real_log or scripted_log runs once for each such log; without the shared folder it is skipped once"
    for kind in LOGS:
        if kind in metafunc.fixturenames: metafunc.parametrize(kind, logs(kind) or [None], ids=lambda path: path.name[:40] if path else "none", indirect=True)


@pytest.fixture(scope="session")
def shared():
    "The makers' shared folder"
    if not (SHARED/"data").is_dir(): pytest.skip(NO_SHARED)
    return SHARED


@pytest.fixture(scope="session")
def oracle():
    "The python of the environment that has the platform's own package"
    if not ORACLE.exists(): pytest.skip(NO_ORACLE)
    return str(ORACLE)


@pytest.fixture(scope="session")
def chromium():
    "One headless Chromium for all tests that need a browser"
    lab.needed()
    from playwright.sync_api import sync_playwright
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=lab.chromium(), args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
        yield started
        started.close()


@pytest.fixture(scope="session")
def sample():
    "The log that ships with tracekit"
    return SAMPLE


@pytest.fixture(scope="session")
def bundle(oracle, shared, tmp_path_factory):
    "The platform's own tutorial, in a folder of ours"
    out = tmp_path_factory.mktemp("bundle")
    subprocess.run([oracle, str(shared/"oracle"/"bundle.py"), str(out)], check=True, capture_output=True, timeout=60)
    return out


@pytest.fixture
def real_log(request, shared):
    "One real tau2 log"
    return request.param


@pytest.fixture
def scripted_log(request, shared):
    "One scripted tau2 log"
    return request.param


def heed_ctrl_c():
    "What a shell started in the background inherits that Ctrl-C is ignored; what is tested here is a command at a terminal"
    signal.signal(signal.SIGINT, signal.SIG_DFL)
