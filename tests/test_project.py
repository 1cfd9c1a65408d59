"""The platform's YAML files: read safely, and judged at least as strictly as the platform does."""
import json
import os
import re
import subprocess
import sys
import time
from copy import deepcopy
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tracekit.check import check, python_trouble, template_trouble, value_trouble
from tracekit.dataset import Dataset, validate
from tracekit.models import ENTITIES
from tracekit.project import kind_of, load_project, placeholders, provider_key, resolve
from tracekit.source import InputError
from tracekit.trace import assistant, call, output, plain_trace, user
from tracekit.yamlfile import MAX_DEPTH, Doc, environment, load_yaml, model_findings, read_yaml

RUN = """\
models:
  - $provider: openai/gpt-4.1-nano
datasets:
  - $ref: datasets/samples.yaml
tasks:
  - $ref: tasks/task.yaml
evaluation:
  key: evaluation
  display_name: Evaluation
  description: One task
  config_spec:
    - {type: model, key: model_key, display_name: Model}
    - {type: dataset, key: data, display_name: Dataset}
  task_specifications:
    - task_key: reward
      model_key: "<< config.model_key >>"
      task_config: {dataset_key: "<< config.data >>"}
config:
  model_key: openai$gpt-4-1-nano
  data: samples
"""
TASK = """\
key: reward
display_name: Reward
description: The reward
config_spec:
  - {type: dataset, key: dataset_key, display_name: Dataset}
definition:
  dataset: {key: "<< config.dataset_key >>"}
  solver:
    type: pass_through_solver
    trace_column: trace
    message_format: open_responses
  scorers:
    - type: python
      compute_scores_snippet: !include scorer.py
      metrics:
        - {type: mean, key: reward_mean, field: reward, name: Reward}
        - {type: max, key: reward_max, field: reward}
"""
SCORER = "def compute_scores(sample, solver_output):\n    return {'reward': sample['reward']}\n"
SAMPLES = "key: samples\ndisplay_name: Samples\nsource:\n  type: local\n  file_path: ./samples.jsonl\n"
APP = "key: app\ndisplay_name: App\ndescription: An app\n"
ITEMS = [user("Hi", "m0"), call("c1", "get_bill", "{}", created_by="assistant"), output("c1", "12.30", created_by="assistant"), assistant("12.30", "m1")]
ROWS = "".join(json.dumps({"trace": plain_trace(ITEMS), "reward": reward}) + "\n" for reward in (0.0, 1.0))
FILES = {"run.yaml": RUN, "app.yaml": APP, "tasks/task.yaml": TASK, "tasks/scorer.py": SCORER, "datasets/samples.yaml": SAMPLES, "datasets/samples.jsonl": ROWS}


def write(folder, files):
    "Write files by their names; None leaves one out"
    for name, text in files.items():
        (folder/name).parent.mkdir(parents=True, exist_ok=True)
        if isinstance(text, bytes): (folder/name).write_bytes(text)
        elif text is not None: (folder/name).write_text(text, encoding="utf-8")
    return folder


def changed(file, *pairs, **more):
    "The files of the project, with texts of one of them exchanged"
    text = FILES[file]
    for old, new in zip(pairs[::2], pairs[1::2]):
        assert old in text, old
        text = text.replace(old, new, 1)
    return {**FILES, file: text, **more}


def run(*pairs): return changed("run.yaml", *pairs)
def task(*pairs): return changed("tasks/task.yaml", *pairs)
def spec(*pairs): return changed("datasets/samples.yaml", *pairs)
def data(text, name="samples.jsonl"): return {**spec("samples.jsonl", name), "datasets/samples.jsonl": None, f"datasets/{name}": text}


PARAMETER = "  - {type: dataset, key: dataset_key, display_name: Dataset}\n"
MEAN = "{type: mean, key: reward_mean, field: reward, name: Reward}"
SECOND = SAMPLES.replace("\n", "\n    ").rstrip()
LITERAL = '"<< config.model_key >>"', "openai$gpt-4-1-nano"

# what the platform's own check lets pass: name -> (the files, the level that a careful person gives it, words of the finding)
ACCEPTED = {
    "sound": (FILES, None, ""),
    "data file missing": ({**FILES, "datasets/samples.jsonl": None}, "error", "no such file: samples.jsonl"),
    "data file garbage": (data("Dear diary\n" * 99), "error", "not JSON"),
    "data file binary": (data(bytes(range(256)) * 9), "error", "not JSON"),
    "data file empty": (data(""), "error", "holds no row"),
    "data file with a wrong ending": (data(ROWS, "samples.json"), "error", "must end in .jsonl or .csv"),
    "data file a list": (data("[1, 2]\n"), "error", "is an object"),
    "data file a broken table": (data('question,answer\n"a,b\n', "samples.csv"), "error", "cannot be read as a table"),
    "a row cut off": (data(ROWS[:-20]), "error", "not JSON"),
    "a trace without types": (data(ROWS.replace('"type": "message", ', "")), "error", "has no \"type\""),
    "a trace with a result of no call": (data(ROWS.replace('"call_id": "c1"', '"call_id": "c2"', 1)), "error", "answers no earlier call"),
    "the last row without a trace": (data(ROWS + '{"reward": 1}\n'), "error", "column 'trace'"),
    "scorer.py with a syntax error": ({**FILES, "tasks/scorer.py": SCORER.replace(":", ";", 1)}, "error", "is no Python"),
    "scorer.py empty": ({**FILES, "tasks/scorer.py": ""}, "error", "is empty"),
    "scorer.py blank": ({**FILES, "tasks/scorer.py": "\n \n"}, "error", "is empty"),
    "scorer.py without compute_scores": ({**FILES, "tasks/scorer.py": SCORER.replace("compute_scores", "compute")}, "error", "defines no compute_scores"),
    "compute_scores inside a class": ({**FILES, "tasks/scorer.py": "class A:\n    def compute_scores(s): ...\n"}, "error", "defines no compute_scores"),
    "compute_scores without arguments": ({**FILES, "tasks/scorer.py": "def compute_scores(): ...\n"}, "error", "1 or 2 arguments"),
    "compute_scores with three": ({**FILES, "tasks/scorer.py": "def compute_scores(a, b, c): ...\n"}, "error", "1 or 2 arguments"),
    "compute_scores async": ({**FILES, "tasks/scorer.py": "async " + SCORER}, None, ""),
    "python_all_samples with two": (task("type: python\n", "type: python_all_samples\n"), "error", "with 1 arguments"),
    "compute_metrics missing": (task(MEAN, "{type: python, compute_metrics_snippet: 'x = 1'}"), "error", "defines no compute_metrics"),
    "trace_column not in the data": (task("trace_column: trace", "trace_column: conversation"), "error", "has no column 'conversation'"),
    "trace_column with a slip": (task("trace_column: trace", "trace_column: tracee"), "error", "did you mean trace?"),
    "an unknown placeholder in the task": (task("<< config.dataset_key >>", "<< config.unknown >>"), "error", "<< config.unknown >> is no parameter"),
    "an unknown placeholder in the run": (run("<< config.data >>", "<< config.unknown >>"), "error", "<< config.unknown >> is no parameter"),
    "a placeholder without a name": (run("<< config.data >>", "<< config. >>"), "error", "<< config. >> is no parameter"),
    "config missing": (run("config:\n  model_key: openai$gpt-4-1-nano\n  data: samples\n", ""), "warning", "the run has no config"),
    "config without one value": (run("  data: samples\n", ""), "error", "data has no value"),
    "config with a value more": (run("  data: samples\n", "  data: samples\n  seed: 1\n"), "warning", "is no parameter of the evaluation"),
    "config with a slip": (run("  data: samples\n", "  dat: samples\n"), "error", "data has no value"),
    "config with an unknown dataset": (run("  data: samples\n", "  data: sample\n"), "error", "did you mean samples?"),
    "config with null": (run("  data: samples\n", "  data: null\n"), "error", "has no value"),
    "config with a number for a key": (run("  data: samples\n", "  data: 5\n"), "error", "of type dataset"),
    "config with an unknown model": (run("  model_key: openai$gpt-4-1-nano", "  model_key: model-b"), "warning", "is no model of this file"),
    "task_key not among the tasks": (run("task_key: reward", "task_key: rewards"), "error", "did you mean reward?"),
    "a solver and no model_key": (run('      model_key: "<< config.model_key >>"\n', ""), "platform", "has no model_key"),
    "task_config lacks a value": (run('      task_config: {dataset_key: "<< config.data >>"}\n', ""), "error", "dataset_key has no value"),
    "task_config with a value more": (run("{dataset_key:", "{seed: 1, dataset_key:"), "warning", "is no parameter of the task"),
    "metrics with one key": (task("key: reward_max", "key: reward_mean"), "error", "another metric of this scorer has the key 'reward_mean'"),
    "scorers missing": (task(TASK[TASK.index("  scorers:"):], ""), "warning", "no scorer"),
    "scorers empty": (task(TASK[TASK.index("  scorers:"):], "  scorers: []\n"), "warning", "no scorer"),
    "metrics empty": (task(TASK[TASK.index("      metrics:"):], "      metrics: []\n"), "warning", "no metric"),
    "two datasets with one key": (run("datasets/samples.yaml\n", f"datasets/samples.yaml\n  - {SECOND.replace('./samples', 'datasets/samples')}\n"), "error", "another of the datasets"),
    "two tasks with one key": (run("  - $ref: tasks/task.yaml\n", "  - $ref: tasks/task.yaml\n" * 2), "error", "another of the tasks"),
    "dataset without source": (spec(SAMPLES[SAMPLES.index("source"):], ""), "error", "neither source nor generator"),
    "config_spec key with a space": (run("key: data,", "key: the data,", "config.data ", "config.the data ", "  data: samples", "  the data: samples"), "warning", "odd name"),
    "config_spec key twice": (task(PARAMETER, PARAMETER * 2), "error", "another parameter has the key"),
    "quoted !include of the scorer": (task("!include scorer.py", '"!include scorer.py"'), "error", "in quotes"),
    "quoted !include of a text": (task("description: The reward", 'description: "!include scorer.py"'), "warning", "in quotes"),
    "an unset variable": (task("description: The reward", "description: $TRACEKIT_IS_NOT_SET"), "warning", "is not set"),
    "two placeholders for one key": (task("<< config.dataset_key >>", "<< config.dataset_key >><< config.dataset_key >>"), "platform", "wants a placeholder"),
    "a broken template": (task(TASK[TASK.index("    - type: python"):], '    - {type: string_equals, ground_truth: "{{ sample.answer }"}\n'), "error", "is no template"),
    "no provider": (run("openai/gpt-4.1-nano", "gpt-4.1-nano"), "error", "expected PROVIDER/MODEL"),
    "evaluation without description": (run("  description: One task\n", ""), "warning", "will soon want one"),
    "evaluation without specifications": (run(RUN[RUN.index("  task_spec"):RUN.index("config:\n  model")], ""), "warning", "nothing is done"),
    "one task used twice": (run(s := RUN[RUN.index("    - task_key"):RUN.index("config:\n  model")], s * 2), "warning", "used several times"),
    "two specifications with one key": (run(s, s.replace("- task", "- key: a\n      task") * 2), "error", "another specification has the key"),
    "a default out of range": (task(PARAMETER, PARAMETER + "  - {type: int, key: n, display_name: N, min: 1, default_value: 0}\n"), "error", "beyond the min"),
    "a choice that is none": (task(PARAMETER, PARAMETER + "  - {type: categorical, key: c, display_name: C, allowed_values: [a], default_value: b}\n"), "error", "not one of a"),
    "pass^k of too many": (task("  scorers:", "  trials: {num_trials: 2, score_aggregators: [{score_name: reward, aggregator: {function: pass^k, k: 3}}]}\n  scorers:"), "error", "3 of 2 trials"),
    "key with a newline": (task("key: reward\n", 'key: "reward\\n"\n'), "error", "a key is made of"),
    "num_samples of nothing": (run("    - task_key: reward\n", "    - task_key: reward\n      num_samples: 0\n"), "error", "greater than or equal to 1"),
    "the old format": (task("open_responses", "latticeflow"), "warning", "is old"),
    "two sets of traces": (run("    - {type: dataset, key: data, display_name: Dataset}\n", "".join(f"    - {{type: dataset, key: {k}, display_name: {k}}}\n" for k in "ab"),
                               s, "".join(s.replace("- task_key", f"- key: {k}\n      task_key").replace("config.data", f"config.{k}") for k in "ab"),
                               "  data: samples\n", "  a: samples\n  b: samples\n"), None, ""),
    "an empty file": ({**FILES, "run.yaml": "{}"}, None, ""),
}
# what it refuses: name -> (the files, the level, words)
REFUSED = {
    "key with a space": (task("key: reward\n", "key: my reward\n"), "error", "write my-reward"),
    "key with a dot": (spec("key: samples", "key: my.samples"), "error", "write my-samples"),
    "key with $": (run("  key: evaluation", "  key: my$evaluation"), "error", "a key is made of"),
    "key empty": (task("key: reward\n", "key: ''\n"), "error", "a key is made of"),
    "key of 251 letters": (task("key: reward\n", f"key: {'k' * 251}\n"), "error", "a key is made of"),
    "scorer.py missing": ({**FILES, "tasks/scorer.py": None}, "error", "no such file"),
    "referred file missing": ({**FILES, "tasks/task.yaml": None}, "error", "no such file"),
    "trace_column missing": (task("    trace_column: trace\n", ""), "error", "add trace_column"),
    "solver type unknown": (task("pass_through_solver", "pass_trough_solver"), "error", "did you mean pass_through_solver?"),
    "message_format unknown": (task("open_responses", "openai"), "error", "expected 'open_responses' or"),
    "literal dataset key": (task('"<< config.dataset_key >>"', "samples"), "platform", 'write "<< config.dataset_key >>"'),
    "literal model_key": (run(*LITERAL), "platform", 'write model_key: "<< config.model_key >>" and put the key under config:'),
    "embedded placeholder": (run('"<< config.model_key >>"', '"my << config.model_key >>"'), "platform", "wants a placeholder"),
    "literal subsampling": (run("    - task_key: reward\n", "    - task_key: reward\n      subsampling: head\n"), "platform", "wants a placeholder"),
    "key and keys": (task("dataset: {key:", 'dataset: {keys: ["<< config.dataset_key >>"], key:'), "error", "either key or keys"),
    "solver without dataset": (task('  dataset: {key: "<< config.dataset_key >>"}\n', ""), "error", "has a solver and no dataset"),
    "python scorer without metrics": (task(TASK[TASK.index("      metrics:"):], ""), "error", "add metrics"),
    "unknown metric type": (task("type: mean", "type: median"), "error", "type median is unknown"),
    "metric without field": (task("field: reward, ", ""), "error", "add field"),
    "source type csv": (spec("type: local", "type: csv"), "error", "type csv is unknown"),
    "source type jsonl": (spec("type: local", "type: jsonl"), "error", "one of local"),
    "source type opencode": (spec("type: local", "type: opencode"), "error", "one of local"),
    "source type missing": (spec("  type: local\n", ""), "error", "has no type"),
    "extra key": (task("definition:", "owner: me\ndefinition:"), "error", "owner: is no key"),
    "extra key in the run": (run("tasks:", "task: []\ntasks:"), "error", "did you mean tasks?"),
    "config_spec type unknown": (task("type: dataset, key: dataset_key", "type: datset, key: dataset_key"), "error", "did you mean dataset?"),
    "plain-string model": (run("$provider: openai/gpt-4.1-nano", "openai/gpt-4.1-nano"), "error", "expected a mapping"),
    "duplicate YAML key": (task("key: reward\n", "key: reward\nkey: reward\n"), "error", "'key' is written twice, first in line 1"),
    "to do": (task("description: The reward", "description: ((TODO)) say what"), "error", "holds a ((TODO))"),
    "to do in the scorer": ({**FILES, "tasks/scorer.py": SCORER + "# ((TODO))\n"}, "error", "holds a ((TODO))"),
    "not YAML": ({**FILES, "tasks/task.yaml": "key: [reward\n"}, "error", "mend the YAML"),
    "a python object": (task("description: The reward", "description: !!python/name:os.system x"), "error", "is refused"),
    "one trial": (task("  scorers:", "  trials: {num_trials: 1}\n  scorers:"), "error", "greater than or equal to 2"),
    "an empty run": ({**FILES, "run.yaml": ""}, "error", "is none of the files"),
    "a list for a run": ({**FILES, "run.yaml": "- 1\n"}, "error", "expected a"),
}
MUTATIONS = {**{f"accepted: {k}": v for k, v in ACCEPTED.items()}, **{f"refused: {k}": v for k, v in REFUSED.items()}}


def refused(findings): return [f for f in findings if f.level != "warning"]


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_careful_person_sees_it(tmp_path, name):
    "Each mutation gives the finding that helps, at the level it deserves, with a file and, but for whole data files, a line"
    files, level, words = MUTATIONS[name]
    found = check(write(tmp_path, files)/"run.yaml")
    if level is None: assert not found
    elif level == "warning": assert not refused(found) and any(words in str(f) for f in found), found
    else: assert any(f.level == level and words in str(f) for f in found), found
    if level == "platform": assert not [f for f in found if f.level == "error"], "it runs here"
    assert all(Path(f.file).is_file() and (f.line or "samples." in f.file) for f in found)


VERB = {"run": ["run"], "dataset": ["add", "dataset"], "task": ["add", "task"], "evaluation": ["add", "eval"], "app": ["add", "app"]}
CLI = """
import contextlib, io, json, logging, os, sys, warnings
logging.disable(50); warnings.simplefilter("ignore")
from latticeflow.go.cli.lf import app
def judge(file, verb):
    os.chdir(os.path.dirname(file))
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()): app([*verb, "-f", os.path.basename(file), "-v"])
    except SystemExit as e: return e.code or 0
    except BaseException as e: return type(e).__name__
    return 0
print("\\n" + json.dumps([judge(*asked) for asked in json.loads(sys.stdin.read())]))
"""
LOAD = """
import json, logging, os, sys
logging.disable(50)
from pathlib import Path
from latticeflow.go.utils.yaml_utils import load_yaml_recursively
def load(file):
    try: return {"data": load_yaml_recursively(Path(file))[0]}
    except BaseException as e: return {"error": type(e).__name__}
print(json.dumps([load(file) for file in json.loads(sys.stdin.read())], default=str))
"""
MODELS = """
import json, logging, sys, warnings
logging.disable(50); warnings.simplefilter("ignore")
from latticeflow.go.dtypes import SDKAIApp, SDKRunConfig
def judge(kind, at, entity):
    try: (SDKAIApp if kind == "app" else SDKRunConfig).model_validate(entity if at is None else {at: entity if at == "evaluation" else [entity]}, ignore_extra=False)
    except Exception as e: return f"{type(e).__name__}: {e}"
    return ""
print(json.dumps([judge(*asked) for asked in json.loads(sys.stdin.read())]))
"""


@pytest.fixture(scope="module")
def ask(oracle, tmp_path_factory):
    "Run a script in the platform's environment; it needs no server"
    home = str(tmp_path_factory.mktemp("home"))
    def asked(script, given):
        env = {**os.environ, "LF_URL": "http://127.0.0.1:9", "LF_API_KEY": "x", "HOME": home}
        made = subprocess.run([oracle, "-c", script], input=json.dumps(given), capture_output=True, text=True, timeout=300, env=env)
        assert made.returncode == 0, made.stderr[-2000:]
        return json.loads(made.stdout.splitlines()[-1])
    return asked


def test_the_platform_refuses_what_the_table_says(ask, tmp_path):
    "So nothing that it refuses is accepted here: every entry of REFUSED has a finding"
    folders = {name: write(tmp_path/str(n), files) for n, (name, (files, _, _)) in enumerate(MUTATIONS.items())}
    codes = dict(zip(folders, ask(CLI, [(str(folder/"run.yaml"), VERB["run"]) for folder in folders.values()])))
    wrong = {name: code for name, code in codes.items() if bool(code) != name.startswith("refused")}
    assert not wrong and len(codes) > 90


def test_the_sound_project_alone(ask, tmp_path):
    "Every file of it is recognised by its shape, and sound for both"
    folder = write(tmp_path, FILES)
    kinds = {"run.yaml": "run", "app.yaml": "app", "tasks/task.yaml": "task", "datasets/samples.yaml": "dataset"}
    assert {name: kind_of(read_yaml(folder/name).data, folder/name) for name in kinds} == kinds
    assert not any(check(folder/name) for name in kinds)
    assert ask(CLI, [(str(folder/name), VERB[kind]) for name, kind in kinds.items()]) == [0] * 4


# ---------------------------------------------------------------- the package's own guides
@pytest.fixture(scope="module")
def guides(oracle, shared):
    "The folder of the platform's guides and tutorials"
    made = subprocess.run([oracle, str(shared/"oracle"/"bundle.py")], capture_output=True, text=True, check=True)
    return Path(made.stdout.strip())


def test_all_guides_pass(guides):
    "All run.yaml files of the platform's guides and tutorials, and the task, dataset and app files that stand alone"
    runs = sorted(guides.rglob("run.yaml"))
    assert len(runs) == 43
    for path in runs: assert not refused(check(path)), path
    others = [p for name in ("tasks", "datasets") for p in guides.rglob(f"{name}/*.yaml")] + sorted(guides.rglob("app.yaml"))
    wrong = {p.name for p in others if refused(check(p))}
    assert len(others) > 110 and wrong == {"opencode_traces.yaml", "recorded_qa_traces.yaml"}   # its data is made by a script; its traces are not in full form


def test_files_are_read_as_the_platform_reads_them(guides, ask):
    "All YAML files of the guides, with all that they name"
    files = sorted(guides.rglob("*.yaml"))
    theirs = ask(LOAD, [str(f) for f in files])
    assert len(files) > 220
    for path, loaded in zip(files, theirs): assert json.loads(json.dumps(read_yaml(path).data, default=str)) == loaded["data"], path


def test_the_tutorial(guides):
    "What a runner needs of it"
    project = load_project(guides/"tutorials"/"scorer-tutorial"/"run.yaml")
    [specification] = project.specifications
    values = project.task_values(specification)
    assert values == {"dataset_key": "tutorial-samples"} and len(Dataset(project.datasets["tutorial-samples"].path)) == 17
    made = project.resolve(project.tasks[specification["task_key"]], values)["definition"]
    assert made["dataset"]["key"] == "tutorial-samples" and "def compute_scores" in made["scorers"][0]["compute_scores_snippet"]


# ---------------------------------------------------------------- the loader
ALSO = {"one.yaml": "k: 1\nm: {a: 1}\n", "list.yaml": "- 1\n- 2\n", "scalar.yaml": "hello\n", "empty.yaml": "", "t.txt": "  text $SET \n\n", "v.txt": "$SET\n",
        "bin.txt": b"\xff\xfe\x00", "bom.yaml": b"\xef\xbb\xbfk: 1\n", "cycle.yaml": "a: {$ref: cycle.yaml}\n", "todo.txt": "x ((TODO)) y",
        "sub/deep.yaml": "i: !include ../t.txt\nr: {$ref: ../one.yaml}\n", "twice.yaml": "k: 1\nk: 2\n"}
LOADS = [
    "a: {$ref: one.yaml}", "a: {$ref: list.yaml}", "a: {$ref: scalar.yaml}", "a: {$ref: empty.yaml}", "a: [{$ref: one.yaml}, 2]", "a: [{$ref: list.yaml}, 2]",
    "a: {$ref: one.yaml, k: 5, z: 3, m: {b: 2}}", "a: {$ref: list.yaml, k: 5}", "a: {$ref: scalar.yaml, k: 5}", "$ref: one.yaml", "$ref: one.yaml\nz: 1",
    "a: {$ref: 5}", "a: {$ref: ''}", "a: {$ref: 'one.yaml#/k'}", "a: {$ref: 'http://x/y.yaml'}", "a: {$ref: sub}", "a: {$ref: $NAMED}", "a: {$ref: cycle.yaml}",
    "a: {$ref: [one.yaml]}", "a: {$ref: v.txt}", "a: {$ref: twice.yaml}", "a: {$ref: sub/deep.yaml}", "a: {$ref: bom.yaml}",
    "a: !include t.txt", "a: !include v.txt", "a: [!include t.txt]", "a: !include no.txt", "a: !include bin.txt", "a: !include sub", "a: !include empty.yaml",
    "a: !include", "a: !include {f: t.txt}", "a: '!include t.txt'", "a: !include $NAMED", "a: !include todo.txt",
    "a: $SET\nb: ${SET}\nc: '$SET'\nd: [$SET, {e: $SET}]\nf: x$SET\ng: $NOT_SET_X\nh: ${NOT_SET_X}\ni: $EMPTY\nj: $1\nk: ' $SET '\nl: $set\nm: $SET-x\nn: ${SET:-d}",
    "o: $(SET)\np: |\n  $SET\nq: $SET$SET\n$SET: 4\nr: $SET x\ns: $SETé\nt: ${SET}/x", "k: 1\nk: 2", "a: {k: 1, k: 2}", "k: 1\n'k': 2", "on: 1\nyes: 2", "a: [{b: 'x ((TODO)) y'}]", "a: ((todo))",
    "a: ((TODO)", "a: 1 # ((TODO))", "x: &x {a: 1}\ny: {<<: *x, b: 2}", "x: &x {a: 1}\ny: {<<: *x, a: 2}", "x: &x {a: 1}\ny: {<<: *x, <<: *x}",
    "x: &x {a: 1}\nz: &z {b: 2}\ny: {<<: [*x, *z]}", "x: &x [1]\ny: *x", "x: &x [*x]", "x: &x {a: *x}", "a: !!str 5", "a: !!python/name:os.system x", "a: !foo 1",
    "a: 2026-01-01\nb: 2026-01-01T00:00:00Z", "? [a, b]\n: 1", "b: 0o17\nc: 017\nd: 1_000\ne: 1:30\nf: yes\ng: ~\nh: 1e3\ni: 1.0e+3", "a: 1\n---\nb: 2", "- 1", "hi", "", "~",
    "\ufeffa: 1", b"a: \xe9", "a: \u00e9".encode("utf-16"), "a:\n\t- 1", "a: \x07", "%YAML 1.2\n---\na: yes", "a: *nowhere", "a: &x 1\nb: *x", "a: =", "a: |2\n  x", "a: [1, 2", "a: 'x",
    "a: !!binary aGk=", "a: 99999999999999999999999999", "a: !!int x", "a: 2026-13-45", "a: !!float x", "a: {b: {c: {$ref: sub/deep.yaml}}}",
]


def test_the_loader_reads_as_the_platforms(ask, tmp_path, monkeypatch):
    "Where both read a file they read the same; what that loader refuses is refused; what only this one refuses is known"
    for name, value in {"SET": "7", "EMPTY": "", "NAMED": "one.yaml"}.items(): monkeypatch.setenv(name, value)
    folders = [write(tmp_path/str(n), {**ALSO, "main.yaml": text}) for n, text in enumerate(LOADS)]
    theirs = ask(LOAD, [str(f/"main.yaml") for f in folders])
    stricter = []
    for text, folder, loaded in zip(LOADS, folders, theirs):
        doc = read_yaml(folder/"main.yaml")
        errors = [p for p in doc.problems if p.level == "error"]
        if "error" in loaded: assert errors, text
        elif errors: stricter.append(text)
        else: assert json.loads(json.dumps(doc.data, default=str)) == loaded["data"], text
    assert stricter == ["a: !!binary aGk="]


def problems(tmp_path, text, name="main.yaml", **files):
    "What the reader has against a text, in a folder of its own"
    return [str(p) for p in read_yaml(write(tmp_path/"inner", {**files, name: text})/name).problems]


@pytest.mark.parametrize("text", [
    "a: !!python/object/apply:os.system [touch /tmp/tracekit-was-here]", "a: !!python/object:os.PathLike {}", "!!python/object/new:str [x]", "a: !!python/module:os",
    "a: !!set {x, y}", "a: !!omap [x: 1]", "a: !!pairs [x: 1]", "!!python/name:os.system x: 1", "a: !<tag:yaml.org,2002:python/name:os.system> x"])
def test_tags_are_refused(tmp_path, text):
    assert problems(tmp_path, text)


def test_surrogate_pairs(tmp_path):
    "As JSON spells them they are one character; a half is a finding at its line, as a value, a key, or where a message would quote it"
    assert read_yaml(write(tmp_path, {"run.yaml": '{"a\\ud83d\\ude00": "x\\ud83d\\ude00"}'})/"run.yaml").data == {"a\U0001f600": "x\U0001f600"}
    for text in ('a: "\\ud83d"', 'x: 1\n"\\ude00": 1', (RUN + TASK).replace('"<< config.data >>"', '"\\ud800<< config.data >>"')):
        found = check(write(tmp_path, {"run.yaml": text})/"run.yaml")
        assert any("half of a surrogate pair" in f.what and f.line for f in found) and "".join(map(str, found)).isprintable()


@pytest.mark.parametrize("how", ["!include {}", "{{$ref: {}}}"])
@pytest.mark.parametrize("where", ["../secret.yaml", "sub/../../secret.yaml", "{absolute}", "link.yaml", "linked/secret.yaml", "./../secret.yaml", "file:///{absolute}", "~/secret.yaml"])
def test_nothing_outside_the_folder_is_read(tmp_path, how, where):
    "Not by .., not by an absolute path, not through a symbolic link to a file or to a folder"
    (tmp_path/"secret.yaml").write_text("password: hunter2")
    (tmp_path/"inner"/"sub").mkdir(parents=True)
    (tmp_path/"inner"/"link.yaml").symlink_to(tmp_path/"secret.yaml")
    (tmp_path/"inner"/"linked").symlink_to(tmp_path)
    doc = read_yaml(write(tmp_path/"inner", {"run.yaml": "a: " + how.format(where.format(absolute=tmp_path/"secret.yaml"))})/"run.yaml")
    assert doc.problems and doc.data == {"a": None} and "hunter2" not in str(doc)
    with pytest.raises(InputError, match=r"run\.yaml:1: "): load_project(tmp_path/"inner"/"run.yaml")


def test_links_inside_the_folder_are_fine(tmp_path):
    write(tmp_path, {"parts/a.txt": "text", "run.yaml": "a: !include link.txt\nb: {$ref: parts/../parts/b.yaml}", "parts/b.yaml": "c: !include a.txt"})
    (tmp_path/"link.txt").symlink_to(tmp_path/"parts"/"a.txt")
    assert load_yaml(tmp_path/"run.yaml") == {"a": "text", "b": {"c": "text"}}


def test_an_entity_may_name_files_of_its_project(tmp_path):
    "Up to the folder with the run.yaml, and no further; a run only its own folder"
    write(tmp_path, {"secret.txt": "no", "p/run.yaml": "{}", "p/README.md": "About", "p/tasks/a.yaml": "key: a\nd: !include ../README.md", "p/tasks/b.yaml": "key: a\nd: !include ../../secret.txt",
                     "p/runs/run2.yaml": "datasets: []\nconfig: {d: !include ../README.md}"})
    assert load_yaml(tmp_path/"p"/"tasks"/"a.yaml")["d"] == "About"
    for name in ("tasks/b.yaml", "runs/run2.yaml"):
        with pytest.raises(InputError, match="outside the folder"): load_yaml(tmp_path/"p"/name)


def test_special_files_are_not_read(tmp_path):
    os.mkfifo(tmp_path/"pipe.txt")
    (tmp_path/"zero.txt").symlink_to("/dev/zero")
    write(tmp_path, {"run.yaml": "a: !include pipe.txt\nb: !include zero.txt\nc: {$ref: pipe.txt}"})
    assert len(read_yaml(tmp_path/"run.yaml").problems) == 3


@pytest.mark.parametrize("named", ["\\0", "a" * 300, "a/" * 3000, "loop.txt", "sub", ".", "", "run.yaml/x", "\\ud800"])
def test_odd_names_of_files(tmp_path, named):
    "They are findings wherever they stand; a sound path beside them is read"
    (tmp_path/"sub").mkdir()
    (tmp_path/"loop.txt").symlink_to(tmp_path/"loop.txt")
    source = f'datasets: [{{key: a, display_name: A, source: {{type: local, file_path: "{named}.jsonl"}}}}, {{key: b, display_name: B, source: {{type: folder, directory_path: "{named}x"}}}}]'
    write(tmp_path, {"run.yaml": f'config: {{a: !include "{named}", b: {{$ref: "{named}"}}, c: !include t.txt}}\n{source}\n', "t.txt": "text"})
    found = check(tmp_path/"run.yaml")
    assert len([f for f in found if f.level == "error"]) == 4 and "".join(map(str, found)).isprintable()
    touch(tmp_path/"run.yaml")


def laughs(levels, width, leaf="ha"):
    "A text whose aliases stand for width ** levels leaves"
    return f"a0: &a0 [{', '.join([leaf] * width)}]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * width)}]\n" for n in range(1, levels))


BOMBS = {
    "a billion laughs": laughs(9, 10),
    "2 GB of text": f"a: &a {'x' * 500000}\nb: [{', '.join(['*a'] * 4000)}]\n",
    "10,000 deep aliases": "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 10000)),
    "10,000 deep lists": "a: " + "[" * 10000,
    "10,000 deep closed lists": "a: " + "[" * 10000 + "]" * 10000,
    "10,000 deep mappings": "a: " + "{a: " * 10000,
    "10,000 deep dashes": "- " * 10000,
    "deep blocks": "".join(" " * n + "a:\n" for n in range(1000)),
    "merges of merges": "a0: &a0 {}\n" + "".join(f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}\n" for n in range(1, 12)),
    "self in a list": "a: &a [*a]",
    "self in a mapping": "a: &a {b: {c: *a}}",
    "self in a merge": "a: &a {<<: *a}",
    "self as a key": "a: &a {? *a : 1}",
    "a number of a million digits": "a: " + "9" * 1000000,
    "a number to the base of 60": "a: 1" + ":59" * 300000,
    "long names": f"a{'b' * 300000}: << config.{'b' * 300000} >>\nb{'b' * 300000}: 1",
    "spaces": "a: '<<config." + " " * 900000 + "'\nb: '<<" + " " * 100000 + "'\nb: 1",
    "a mapping as a key": "? {a: 1}\n: 1",
    "a large file": "a: " + "x" * (1 << 20),
    "many values": "a: [" + "1," * 400000 + "]",
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_refused(tmp_path, name):
    "In a moment, with a finding, wherever they stand"
    write(tmp_path, {"bomb.yaml": BOMBS[name], "run.yaml": "config: {$ref: bomb.yaml}"})
    begin = time.process_time()
    for file in ("bomb.yaml", "run.yaml"):
        doc = read_yaml(tmp_path/file)
        assert len(doc.problems) == 1 and len(str(doc.problems[0])) < 400 and len(doc.places) < 20
        assert refused(check(tmp_path/file))
    if name != "many values": assert time.process_time() - begin < 10   # a million characters of YAML take PyYAML its time


def test_references_that_multiply_are_refused(tmp_path):
    "Ten files, each of which names the next ten times"
    write(tmp_path, {f"f{n}.yaml": "[" + ", ".join([f"{{$ref: f{n + 1}.yaml}}"] * 10) + "]" for n in range(10)} | {"f10.yaml": "x", "run.yaml": "config: {a: {$ref: f0.yaml}}"})
    doc = read_yaml(tmp_path/"run.yaml")
    assert any("is larger than" in str(p) for p in doc.problems) and len(doc.places) < 200000


def test_circles_of_references(tmp_path):
    "The chain is named"
    write(tmp_path, {"run.yaml": "config: {$ref: sub/a.yaml}", "sub/a.yaml": "b: [{$ref: ../b.yaml}]", "b.yaml": "c: {$ref: sub/../sub/a.yaml}"})
    [problem] = read_yaml(tmp_path/"run.yaml").problems
    assert "goes in a circle: run.yaml -> a.yaml -> b.yaml -> a.yaml" in str(problem) and problem.file.endswith("b.yaml") and problem.line == 1


def test_depth_adds_up_over_references(tmp_path):
    write(tmp_path, {"run.yaml": "a: " * 1 + "[" * 50 + "{$ref: b.yaml}" + "]" * 50, "b.yaml": "[" * 50 + "]" * 50})
    assert f"deeper than {MAX_DEPTH}" in str(read_yaml(tmp_path/"run.yaml").problems[0])


def test_every_value_knows_its_place(tmp_path):
    write(tmp_path, FILES)
    doc = read_yaml(tmp_path/"run.yaml")
    def place(*at): return (str(doc.place(at).file.relative_to(tmp_path)), doc.place(at).line)
    assert place("datasets", 0) == ("run.yaml", 4) and place("datasets", 0, "source", "file_path") == ("datasets/samples.yaml", 5)
    assert place("tasks", 0, "definition", "scorers", 0, "metrics", 1, "field") == ("tasks/task.yaml", 17)
    assert place("tasks", 0, "none") == ("tasks/task.yaml", 1) and place("evaluation", "none") == ("run.yaml", 7) and place("none") == ("run.yaml", 1)
    assert doc.name(("tasks", 0, "definition")) == "definition" and doc.name(("evaluation", "key")) == "evaluation.key"
    assert doc.files[("tasks", 0, "definition", "scorers", 0, "compute_scores_snippet")].file.name == "scorer.py"


def test_errors_point_into_included_files(tmp_path):
    write(tmp_path, {**FILES, "tasks/scorer.py": "import json\n\n\ndef compute_scores(sample, output)\n    return 1\n"})
    [found] = check(tmp_path/"run.yaml")
    assert (found.file, found.line) == (str(tmp_path/"tasks"/"scorer.py"), 4)
    write(tmp_path, task("!include scorer.py", "|\n        import json\n        def compute_scores(sample output): ..."))
    [found] = check(tmp_path/"run.yaml")
    assert (Path(found.file).name, found.line) == ("task.yaml", 16)


def test_dotenv(tmp_path, monkeypatch):
    "From the current directory or a file that is named; the environment goes first"
    write(tmp_path, {".env": "ONE=1\nTWO='two words'\n# THREE=3\nexport FOUR=${ONE}4\n", "other.env": "ONE=other\n", "run.yaml": "config: {a: $ONE, b: $TWO, c: $THREE, d: $FOUR}"})
    monkeypatch.chdir(tmp_path)
    for name in ("ONE", "TWO", "THREE", "FOUR"): monkeypatch.delenv(name, raising=False)
    project = load_project("run.yaml")
    assert project.config == {"a": "1", "b": "two words", "c": "$THREE", "d": "14"} and [w.level for w in project.warnings] == ["warning"]
    assert load_project("run.yaml", "other.env").config["a"] == "other"
    monkeypatch.setenv("ONE", "mine")
    assert load_project("run.yaml").config["a"] == "mine"
    with pytest.raises(InputError, match="no such file"): environment("none.env")


# ---------------------------------------------------------------- the project
def test_paths_are_relative_to_the_file_that_holds_them(tmp_path, monkeypatch):
    write(tmp_path, FILES)
    monkeypatch.chdir(tmp_path.parent)
    for start in (tmp_path, Path(tmp_path.name)):
        project = load_project(start/"run.yaml")
        assert project.datasets["samples"].path.samefile(tmp_path/"datasets"/"samples.jsonl") and project.datasets["samples"].at == ("datasets", 0)
    write(tmp_path, {"run.yaml": "datasets:\n  - {key: a, display_name: A, source: {type: folder, directory_path: datasets}}\n  - {key: b, display_name: B, source: {type: url, url: 'https://x.org/a.csv'}}\n"})
    project = load_project(tmp_path/"run.yaml")
    assert project.datasets["a"].path == tmp_path/"datasets" and project.datasets["b"].path is None and not refused(check(tmp_path/"run.yaml"))


def test_values_come_down_in_two_steps(tmp_path):
    write(tmp_path, task(PARAMETER, PARAMETER.replace("}", ", default_value: other}") + "  - {type: int, key: n, display_name: N, default_value: 3}\n  - {type: string, key: s, display_name: S, nullable: true}\n"))
    project = load_project(tmp_path/"run.yaml")
    [specification] = project.specifications
    assert project.values() == {"model_key": "openai$gpt-4-1-nano", "data": "samples"}
    assert project.task_values(specification) == {"dataset_key": "samples", "n": 3, "s": None}
    assert project.task_values({"task_key": "reward"}) == {"dataset_key": "other", "n": 3, "s": None}
    assert project.model_keys == ["openai$gpt-4-1-nano"] and project.evaluation["key"] == "evaluation" and project.run_config == {} and project.root == tmp_path


def test_a_literal_key_runs_here(tmp_path):
    "The multi-model form of the first tutorial: the platform refuses it, and it can be resolved all the same"
    literal = RUN.replace('"<< config.model_key >>"', "model-a").replace('"<< config.data >>"', "samples")
    project = load_project(write(tmp_path, {**FILES, "run.yaml": literal})/"run.yaml")
    found = check(tmp_path/"run.yaml")
    assert {f.level for f in found} == {"platform", "warning"} and project.task_values(project.specifications[0]) == {"dataset_key": "samples"}


def test_resolve():
    config = {"n": 5, "text": "a << config.n >>", "list": [1, "é"], "none": None, "yes": True, "a b": 1}
    assert resolve({"a": ["<< config.n >>", "n=<<config.n>>"], "b": 1}, config) == {"a": [5, "n=5"], "b": 1}
    assert resolve("<< config.list >>", config) == [1, "é"] and resolve("is << config.list >>", config) == 'is [1, "é"]'
    assert resolve(" <<config.none>> ", config) is None and resolve("<< config.yes >>, << config.none >>", config) == "True, None"
    assert resolve("<< config.text >>", config) == "a << config.n >>", "what is filled in is not filled in again"
    assert resolve("<< config.a b >> {{ sample }} << x >>", config) == "1 {{ sample }} << x >>"
    assert resolve("<< secrets.KEY >>", {}, {"KEY": "k"}) == "k"
    with pytest.raises(InputError, match=r"a\[0\]: << config.dat >> has no value; did you mean data\?\n.*secrets.KEY"): resolve({"a": ["<< config.dat >>"], "b": "<< secrets.KEY >>"}, {"data": 1})
    assert [n for _, _, n in placeholders({"a": "<< config. >><<config.a.b>> << configs.c >>"})] == ["", "a.b"]


def test_secrets(tmp_path, monkeypatch):
    monkeypatch.setenv("FROM_ENV", "e")
    model = "models:\n  - {key: m, display_name: M, config: {url: u, api_key: << secrets.A >>}}\nsecrets: {A: a, B: $FROM_ENV}\nconfig: {x: '<< secrets.C >>'}\n"
    project = load_project(write(tmp_path, {"run.yaml": model})/"run.yaml")
    assert project.secrets == ["A", "B", "C"] and project.resolve("<< secrets.A >><< secrets.B >> << secrets.FROM_ENV >>", {}) == "ae e"
    with pytest.raises(InputError, match="secrets.C"): project.resolve(project.config, {})


def test_load_project_says_what_is_wrong(tmp_path):
    for files, words in (({"run.yaml": "- 1"}, "expected a mapping"), ({"run.yaml": ""}, "got nothing"), (REFUSED["duplicate YAML key"][0], r"task\.yaml:2.*twice"), ({}, "no such file")):
        folder = tmp_path/str(len(words))
        folder.mkdir()
        with pytest.raises(InputError, match=words): load_project(write(folder, files)/"run.yaml")


@pytest.mark.parametrize("named, key", [("openai/gpt-4.1-nano", "openai$gpt-4-1-nano"), ("together/Qwen/Qwen2.5-7B", "together$qwen-qwen2-5-7b"), (5, "5$")])
def test_provider_key(named, key): assert provider_key(named) == key


def test_validate_still_reads_datasets(tmp_path):
    "tracekit.validate on a spec and on its rows, as before; positions are new"
    folder = write(tmp_path, spec("display_name: Samples", "display_nam: Samples"))
    assert [(f.line, f.level) for f in validate(folder/"datasets"/"samples.yaml")] == [(1, "error"), (2, "error")]
    assert not list(validate(folder/"datasets"/"samples.jsonl")) and [f.line for f in check(folder/"datasets"/"samples.jsonl")] == []
    write(tmp_path, {"datasets/samples.yaml": SAMPLES, "datasets/samples.jsonl": ROWS.replace('"role": "user"', '"role": "boss"')})
    assert {Path(f.file).name for f in validate(folder/"datasets"/"samples.yaml")} == {"samples.jsonl"}
    assert check(tmp_path/"none.yaml")[0].what == "no such file" and check(write(tmp_path, {"x.txt": "x"})/"x.txt")


def test_a_thousand_broken_rows_give_a_few_lines(tmp_path):
    found = check(write(tmp_path, data("".join(f"{n} x\n" for n in range(1000))))/"run.yaml")
    assert 1 < len(found) < 25 and "more like these" in str(found[-1]) and found[-1].level == "error"


def test_python_is_parsed_and_never_run(tmp_path):
    marker = tmp_path/"was-run"
    write(tmp_path, {**FILES, "tasks/scorer.py": f"open({str(marker)!r}, 'w')\n" + SCORER})
    assert not check(tmp_path/"run.yaml") and not marker.exists()


@pytest.mark.parametrize("code, words", [
    ("def compute_scores(a, b=1): ...", ""), ("def compute_scores(*a): ...", ""), ("def compute_scores(a, /, *, k=1): ...", ""), ("compute_scores = lambda s: {}", ""),
    ("from x import compute_scores", ""), ("try:\n    def compute_scores(s): ...\nexcept E: ...", ""), ("if 1:\n    pass\nelse:\n    def compute_scores(s): ...", ""),
    ("def compute_scores(a): return '<< config.x >>' + << config.y >>", ""), ("x: int = 1\ndef compute_scores(a): return '\\d'", ""),
    ("def compute_scores(a, *, k): ...", "cannot be called"), ("def compute_scores(*, a): ...", "cannot be called"), ("def f():\n    def compute_scores(a): ...", "defines no"),
    ("x = " + "(" * 5000, "no Python"), ("x = " + "-" * 100000 + "1\n", "no Python"), ("\x00", "no Python"), ("if 1: ...\n" + "elif 1: ...\n" * 3000, "no Python"), ("x = 1\n" * 90000, "defines no"), ("x = " + "+1" * 20000, ""), ("def compute_scores(a): ...\ncompute_scores = 5", "")])
def test_python_trouble(code, words):
    found = python_trouble(code, "compute_scores", (1, 2))
    if words: assert words in found[1]
    elif "compute_scores" in code: assert found is None


@pytest.mark.parametrize("text, wrong", [
    ("plain { text }", False), ("{{ a.b['c'] | tojson }}", False), ("{% for a in b %}{% do a %}{% break %}{% endfor %}", False), ("{{ a << config.x >> }}", True),
    ("{{ << config.x >> }}", False), ("{{ a", True), ("{% if %}", True), ("{% nothing %}", True), ("{{" + "(" * 5000 + "}}", True), ("{{ '" + "\\" * 99 + "' }}", True)])
def test_template_trouble(text, wrong): assert bool(template_trouble(text)) == wrong


@pytest.mark.parametrize("parameter, value, wrong", [
    ({"type": "int", "min": 1, "max": 3}, 3, ""), ({"type": "int", "max": 3}, 4, "beyond the max of 3"), ({"type": "int"}, "7", ""), ({"type": "int"}, "7.5", "of type int"),
    ({"type": "int"}, True, "of type int"), ({"type": "float"}, 1, ""), ({"type": "float"}, "x", "of type float"), ({"type": "boolean"}, 1, "of type boolean"), ({"type": "string"}, 1, "of type string"),
    ({"type": "list", "dtype": "string"}, ["a", 1], "holds 1"), ({"type": "list", "dtype": "string"}, "a", "of type list"), ({"type": "dict", "value_dtype": "integer"}, {"a": 1}, ""),
    ({"type": "dict", "value_dtype": "integer"}, {"a": "b"}, "holds 'b'"), ({"type": "categorical", "allowed_values": ["a"]}, "b", "not one of a"),
    ({"type": "categorical", "allowed_values": ["a", "b"], "multiple": True}, ["a", "b"], ""), ({"type": "categorical", "allowed_values": ["a"]}, ["a"], "not one of"),
    ({"type": "dataset"}, None, "has no value"), ({"type": "dataset", "nullable": True}, None, ""), ({"type": "int"}, "<< config.n >>", ""), ({}, 5, "of type")])
def test_value_trouble(parameter, value, wrong): assert wrong in value_trouble(parameter, value) and bool(wrong) == bool(value_trouble(parameter, value))


# ---------------------------------------------------------------- the models
PLACE = "<< config.p >>"
METRICS = [{"type": "mean", "field": "f", "name": "N", "key": "k"}, {"type": "frequency", "field": "f"}, {"type": "weighted_average", "field": "f", "weights": {"a": 1}, "name": "N"},
           {"type": "recall", "num_true_positives_field": "a", "num_false_negatives_field": "b"}, {"type": "precision", "num_true_positives_field": "a", "num_false_positives_field": "b"},
           {"type": "f1_score", "num_true_positives_field": "a", "num_false_positives_field": "b", "num_false_negatives_field": "c", "name": "N"}, {"type": "max", "field": "f"},
           {"type": "binary-classification", "field_gt": "a", "field_pred": "b", "positive_answer": "y", "negative_answer": "n"}, {"type": "min", "field": "f"}, {"type": "std_dev", "field": "f"},
           {"type": "multiclass-classification", "field_gt": "a", "field_pred": "b"}, {"type": "python", "compute_metrics_snippet": "x"}]
JUDGE = {"model_key": PLACE, "user_prompt": "u", "system_prompt": "s", "use_structured_outputs": True}
SCORERS = [{"type": "python", "key": "k", "purpose": "qa", "display_name": "D", "compute_scores_snippet": "x", "metrics": METRICS}, {"type": "python_all_samples", "compute_scores_snippet": "x", "metrics": []},
           {"type": "string_equals", "ground_truth": "g", "value": "v", "metrics": METRICS[:1]}, {"type": "bleu", "ground_truth": "g"}, {"type": "string_equals_mcqa", "ground_truth_choice": "g", "choices": "c"},
           {"type": "model_as_a_judge_classifier", **JUDGE, "correct_labels": ["a"], "incorrect_labels": ["b"]}, {"type": "model_as_a_judge_scorer", **JUDGE, "score_min": 0, "score_max": PLACE},
           {"type": "labeler_via_model", **JUDGE, "valid_labels": ["a"]}, {"type": "rag_checker", "judge_model_key": PLACE, "query_column": "q", "scores_to_compute": ["recall"], "mode": "all_claims",
            "target_column": "t", "target_claims_column": "c", "response_claims_column": "c", "claim_extraction_instructions": "i", "target_labels_column": "l", "response_labels_column": "l",
            "claim_labeling_instructions": "i"}, {"type": "function_call_coverage", "function_calls": "[]", "mode": "in_order"}]
SAY = {"type": "chat_message", "content": "c", "role": "user", "terminate_if": {"includes": "x", "keep_iteration": False}}
ASK = {"type": "generate_message", "model_key": PLACE, "extra_input_messages": [SAY], "include_conversation": PLACE, "output_role": "user", "terminate_if": {"includes": "x"}}
SOLVERS = [{"type": "pass_through_solver", "trace_column": "t", "message_format": "open_responses", "postprocessor": {"type": "python", "postprocess_snippet": "x"}},
           {"type": "single_turn_solver", "input_builder": {"type": "chat_completion", "input_messages": [{"role": "user", "content": "c"}, {"role": PLACE, "content": "c"}]}, "message_format": "latticeflow"},
           {"type": "single_turn_solver", "input_builder": {"type": "generic", "template": "t"}}, {"type": "grouped_single_turn_solver", "input_builder": {"type": "generic", "template": "t"}},
           {"type": "python", "run_solver_snippet": "x"}, {"type": "multi_turn_solver", "message_builders": [SAY, ASK, {"type": "generate", "terminate_if": {"includes": "x"}},
            {"type": "loop", "message_builders": [SAY, {"type": "generate"}, {"type": "loop", "message_builders": [ASK]}], "max_iterations": 3, "on_max_iterations": "continue"}, {"type": "load_trace", "trace_column": "t"}]}]
NAMED = {"key": "p", "display_name": "P", "description": "d", "nullable": True}
PARAMETERS = [{**NAMED, **p} for p in (
    {"type": "model", "usage": "judge_model", "default_value": "m"}, {"type": "dataset", "default_value": "d"}, {"type": "dataset_column"}, {"type": "task_result"},
    {"type": "string", "string_kind": "python", "examples": [{"value": "a", "display_name": "b"}], "default_file_content": "x"}, {"type": "int", "min": 1, "max": 2, "default_value": 1},
    {"type": "float", "min": 1.5, "max": 2, "default_value": 1}, {"type": "boolean", "default_value": True}, {"type": "list", "dtype": "string", "default_value": ["a"]},
    {"type": "categorical", "allowed_values": ["a"], "multiple": False, "values_mapping": {"a": 1, "b": True, "c": "x", "d": 1.5}, "default_value": "a"},
    {"type": "dict", "value_dtype": "float", "default_value": {"a": 1}})]
AGGREGATORS = [{"score_name": "s", "aggregator": a} for a in ({"function": "mean"}, {"function": "min", "score_name": "x"}, {"function": "max"}, {"function": "pass@k", "k": 1}, {"function": "pass^k", "k": 2, "score_name": "x"})]
FILTERS = [{"op": "equals", "expression": "{{ x }}", "value": 1}, {"op": "in", "expression": "x", "values": ["a", 1, True]}, {"op": "exists", "expression": "x"}]
SOURCES = [{"type": "local", "file_path": "a.csv", "filters": FILTERS}, {"type": "folder", "directory_path": "d", "extension": "md", "filters": FILTERS}, {"type": "url", "url": "https://x.org/a.csv", "filters": []},
           {"type": "huggingface", "path": "p", "split": "s", "load_dataset_kwargs": {"a": 1}, "filters": FILTERS},
           {"type": "langsmith", "project": "p", "dataset": "d", "api_key": "k", "api_url": "u", "from_time": "2026-01-01", "to_time": "2026-01-02T00:00:00Z", "tags": ["a"], "filter": "f", "limit": 5},
           {"type": "phoenix", "project": "p", "trace_id": ["a"], "session_id": "b", "tags": ["a"], "metadata": {"a": "b"}, "limit": 1, "api_key": "k", "base_url": "u", "from_time": "2026-01-01"},
           {"type": "claude_code", "path": "p", "session_id": "s", "from_time": "2026-01-01", "to_time": "2026-01-01", "limit": 1}, {"type": "inspect_ai", "path": "p", "limit": 1}]
BASE = {"key": "k", "display_name": "D", "description": "d"}
DEFINITIONS = [{"dataset": {"key": PLACE}, "solver": s} for s in SOLVERS] + [{"dataset": {"keys": [PLACE, PLACE]}, "scorers": [s]} for s in SCORERS] + [
    {"type": "system_task", "compute_evidence_snippet": "x"}, {"dataset": {"source": "task_result", "key": PLACE}, "trials": {"num_trials": PLACE, "score_aggregators": AGGREGATORS}},
    {"type": "benchmark_task", "evaluated_entity_type": "model", "dataset": {"source": "dataset", "key": PLACE}, "trials": {"num_trials": 2}, "actions": [{"key": "k", "action": "exclude_from_metrics", "filter": f} for f in FILTERS]}]
CONNECTIONS = [{"connection_type": "custom_connection", "adapter": {"key": "a$b"}, "url": "u", "api_key": "<< secrets.A >>", "model_key": "m", "custom_headers": {"a": "b", "c": 1},
                "tls_context": {"validation_context": {"trusted_ca": "x", "trust_chain_verification": "accept_untrusted"}}},
               {"connection_type": "custom_inference", "adapter": {"key": "a"}, "run_inference_snippet": "x", "environment": {"A": "b", "C": 1}, "timeout": 5}, {"connection_type": "placeholder"},
               {"connection_type": "provider_connection", "provider_id": "openai", "model_key": "m"}, {"connection_type": "langsmith", "deploy_url": "u", "assistant_id": "a", "api_key": {"name": "A"}},
               {"connection_type": "azure_foundry", "project_endpoint": "p", "agent_name": "a", "tenant_id": "t", "client_id": "c", "client_secret": {"name": "A"}},
               {"connection_type": "aws_bedrock", "region": "r", "harness_arn": "h", "access_key_id": "a", "secret_access_key": "s", "session_token": {"name": "A"}},
               {"connection_type": "claude_managed_agents", "agent_id": "a", "environment_id": "e", "vault_id": "v", "api_key": "k"}, {"connection_type": "dify", "url": "u", "api_key": "k"}, {"url": "u"}]
ROWS_OF = [{"type": "empty", "num_samples": 3}, {"type": "dataset_samples", "key": PLACE, "random_seed": 1}, {"type": "dataset_sample_combinations", "keys": [PLACE], "random_seed": PLACE},
           {"type": "inline_samples", "samples": [{"a": 1}]}, {"type": "task_result", "ai_app_key": PLACE, "key": PLACE}]
CLAIMS = {"model_key": PLACE, "output_field": "o", "instructions": "i", "columns": {"question": "q", "answer": "a"}}
MADE = [{"type": "empty"}, {"type": "llm", "model_key": PLACE, "user_prompt_template": "t", "sample_properties": {"a": {"type": "string"}}, "use_structured_outputs": True, "format_instructions": "f", "system_prompt": "s"},
        {"type": "llm", "model_key": PLACE, "file_ids_field": "t", "sample_properties": {}, "system_prompt": "s"}, {"type": "claim_extraction", **CLAIMS},
        {"type": "claim_labeling", **CLAIMS}, {"type": "link_claim_quotes", **CLAIMS, "columns": {"claims": "c"}},
        {"type": "question_answering", "model_key": PLACE, "qa_type": "open_ended", "content_column": "c", "title_column": "t", "summary_column": "s", "system_prompt": "s", "user_prompt": "u", "additional_instructions": "a"},
        {"type": "template", "template": ["t"], "fields": {"a": [1]}}, {"type": "template", "template": "t", "fields": {}}, {"type": "python", "synthesize_snippet": "x"}, {"type": "drop_columns", "columns": ["a"]}]
SPECIFICATION = {"type": "standard", "key": "k", "task_key": "t", "task_config": {"a": 1}, "model_key": PLACE, "dataset_key": PLACE, "num_samples": 5, "subsampling": PLACE,
                 "repeatability": {"num_runs": 2}, "trials": {"num_trials": 2}, "display_name": "D", "task_result_log_path": "p"}
REPEATED = {"type": "repeatability", "key": "k", "repeatability_config": {"num_runs": 3}, "num_samples": PLACE, "subsampling": PLACE, "inputs": [{"evaluation_key": "e", "task_specification_key": "t"}]}
RULES = [{"key": "r", "display_name": "R", "description": "d", "definition": {"type": "threshold", "metric": "m", "operator": ">=", "threshold": 0.5}, "scope": "all_latest", "methodology": "m"},
         {"key": "r", "display_name": "R", "definition": {"type": "exists", "metric": "m"}, "scope": {"evaluation_keys": ["a"], "task_specification_keys": ["b"], "scorer_keys": ["c"], "metric_keys": ["d"]}}]
RISK = {"deployment_reach": "internal_broad", "autonomy": "fully_autonomous", "data_sensitivity": "personal_data_pii", "action_capability": "read_only_tool_access",
        "untrusted_content_exposure": "direct_user_input_only", "domain_criticality": "safety_critical", "audience_vulnerability": "general_public"}
ENTITY = {   # every kind of entity with everything that it may hold: (kind, the list of a run that holds it, the entity)
    **{f"task {n}": ("task", "tasks", {**BASE, "definition": d}) for n, d in enumerate(DEFINITIONS)},
    "task": ("task", "tasks", {**BASE, "long_description": "l", "tasks": ["custom"], "tags": ["a"], "config_spec": PARAMETERS, "definition": {}}),
    **{f"dataset {n}": ("dataset", "datasets", {**BASE, "long_description": "l", "tags": ["t"], "source": s}) for n, s in enumerate(SOURCES)},
    "dataset generated": ("dataset", "datasets", {**BASE, "generator_specification": {"dataset_generator_key": "g", "dataset_generator_config": {"a": 1}, "num_samples": 3, "debug": {"enabled": True, "include_io": False}}}),
    "evaluation": ("evaluation", "evaluation", {**BASE, "config_spec": PARAMETERS, "task_specifications": [SPECIFICATION, REPEATED, {"task_key": "t"}], "tags": ["t"], "use_cases": "any", "domains": ["d"], "providers": []}),
    "app": ("app", None, {**BASE, "long_description": "l", "tags": ["t"], "risk_profile": RISK, "model_under_test_key": "a$b", "judge_model_key": "j", "risk_scorers": ["r"]}),
    **{f"model {n}": ("model", "models", {**BASE, "config": c, "secrets": {"A": "b"}, "rate_limit": 5, "max_concurrent_requests": 2, "task": "custom"}) for n, c in enumerate(CONNECTIONS)},
    "provider": ("provider", "models", {"$provider": "openai/m"}),
    "adapter": ("adapter", "model_adapters", {**BASE, "long_description": "l", "provider": "user", "process_input": {"language": "jinja", "source_code": "s"}, "process_output": {"language": "jinja", "source_code": "s"}}),
    **{f"generator {n}": ("generator", "dataset_generators", {**BASE, "config_spec": PARAMETERS[:2], "definition": {"dataset": r, "synthesizers": MADE}, "secrets": {"A": "b"}}) for n, r in enumerate(ROWS_OF)},
    "policy": ("policy", "policies", {**BASE, "rules": RULES}),
    "run": ("run", None, {"config": {"a": 1}, "run_config": {"num_samples": 3, "subsampling": "random", "cache_policy": "no-cache", "trials_config": {"num_trials": 2}}, "secrets": {"A": "b"}}),
}
VALUES = [None, "", "x", 5, -1, 0, 1.5, True, [], {}, ["x"], [5], {"x": 1}, "5", PLACE, f"a {PLACE} b", "a b", "2026-01-01", "<< secrets.A >>"]


def paths(value, at=()):
    "Every path in plain data"
    yield at
    for step in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else (): yield from paths(value[step], (*at, step))


def put(entity, at, do):
    "A copy with one thing changed: `do` gets what holds the value, and its key"
    entity = deepcopy(entity)
    holder = entity
    for step in at[:-1]: holder = holder[step]
    do(holder, at[-1])
    return entity


def everything():
    "Every entity of the table, and each with one value taken away, exchanged, or one key more: (name, kind, list, entity)"
    for name, (kind, at, entity) in ENTITY.items():
        yield name, kind, at, entity
        for path in list(paths(entity))[1:]:
            yield f"{name} {path} gone", kind, at, put(entity, path, lambda h, k: h.pop(k))
            if isinstance(Doc(Path(), Path(), entity).get(path), dict): yield f"{name} {path} more", kind, at, put(entity, path, lambda h, k: h[k].__setitem__("zzz", 1))
            for value in VALUES: yield f"{name} {path} {value!r}", kind, at, put(entity, path, lambda h, k, v=value: h.__setitem__(k, v))


def model_refuses(kind, entity): return [f for f in model_findings(Doc(Path("x.yaml"), Path(), entity), ENTITIES[kind]) if f.level != "warning"]


def test_the_table_has_everything():
    "Each entity of it is sound, and every key of every model occurs in it"
    for name, (kind, _, entity) in ENTITY.items(): assert not model_refuses(kind, entity), name
    from pydantic import TypeAdapter
    keys = {step for _, _, entity in ENTITY.values() for path in paths(entity) for step in path} | {"models", "datasets", "tasks", "evaluation", "model_adapters", "dataset_generators", "policies"}
    schemas = [TypeAdapter(model).json_schema() for model in ENTITIES.values()]
    known = {name for schema in schemas for part in (schema, *schema.get("$defs", {}).values()) for name in part.get("properties", {})}
    assert known <= keys, known - keys


def known_stricter(name):
    "Where tracekit refuses more than the platform's own check, on purpose"
    return re.search(r"^dataset.*\('(source|generator_specification)',\) (gone|None)|task_specifications.*num_samples'\) (0|-1)$|trials', 'num_trials'\) (0|-1)$|^provider", name)


def test_the_models_refuse_what_the_platform_refuses(ask):
    "On some ten thousand entities with one thing changed; every third of all"
    cases = [case for n, case in enumerate(everything()) if n % 3 == 0 or not case[0][-1].isdigit() and "(" not in case[0]]
    theirs = ask(MODELS, [case[1:] for case in cases])
    ours = [bool(model_refuses(kind, entity)) for _, kind, _, entity in cases]
    missed = [case[0] for case, said, mine in zip(cases, theirs, ours) if said and not mine]
    stricter = [case[0] for case, said, mine in zip(cases, theirs, ours) if mine and not said and not known_stricter(case[0])]
    assert not missed and not stricter, (missed[:9], stricter[:9])
    assert len(cases) > 8000 and sum(map(bool, theirs)) > 4000 and sum(not said for said in theirs) > 1500


# ---------------------------------------------------------------- nothing crashes
ANY = st.recursive(st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | st.text(max_size=12) | st.sampled_from([PLACE, "<< config.data >>", "{{ x", "!include a", "$HOME", "((TODO))", "../x", "a.jsonl"]),
                   lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["key", "type", "source", "metrics", "config_spec", "default_value", "$ref", "definition", "x", "<<"]), inner, max_size=3), max_leaves=6)
WHOLE = {"models": [{"$provider": "openai/x"}, ENTITY["model 0"][2]], "datasets": [{**BASE, "key": "samples", "source": {"type": "local", "file_path": "samples.jsonl"}}], "tasks": [yaml.safe_load(TASK.replace("!include scorer.py", "x"))],
         "evaluation": yaml.safe_load(RUN)["evaluation"], "config": {"model_key": "m", "data": "samples"}, "run_config": {"num_samples": 1}, "policies": [ENTITY["policy"][2]],
         "dataset_generators": [ENTITY["generator 0"][2]], "model_adapters": [ENTITY["adapter"][2]], "secrets": {"A": "b"}}
PATHS = list(paths(WHOLE))[1:]


@settings(max_examples=200)
@given(st.lists(st.tuples(st.sampled_from(PATHS), ANY), min_size=1, max_size=3))
def test_random_values_never_crash_check(tmp_path_factory, changes):
    "A run with random values in random places gives findings, and load_project what it can or InputError"
    folder, document = tmp_path_factory.getbasetemp()/"random", deepcopy(WHOLE)
    write(folder, {"samples.jsonl": ROWS})
    for at, value in changes:
        try: document = put(document, at, lambda h, k, v=value: h.__setitem__(k, v))
        except (AttributeError, KeyError, IndexError, TypeError): continue   # an earlier change took the place away
    (folder/"run.yaml").write_text(yaml.safe_dump(document, allow_unicode=True), encoding="utf-8")
    for finding in check(folder/"run.yaml"): assert finding.level in ("error", "platform", "warning") and str(finding)
    touch(folder/"run.yaml")


def touch(path):
    "Everything that a project answers"
    try: project = load_project(path)
    except InputError: return
    assert project.kind and isinstance(project.secrets, list) and isinstance(project.model_keys, list) and isinstance(project.datasets, dict)
    for specification in project.specifications:
        try: project.resolve(project.tasks, project.task_values(specification))
        except InputError: pass


@settings(max_examples=300)
@given(st.sampled_from(["run.yaml", "tasks/a.yaml", "datasets/a.yaml", "app.yaml"]), ANY)
def test_random_files_never_crash_check(tmp_path_factory, name, value):
    folder = write(tmp_path_factory.getbasetemp()/"files", {name: yaml.safe_dump(value, allow_unicode=True)})
    assert isinstance(check(folder/name), list)
    touch(folder/name)


@settings(max_examples=300)
@given(st.integers(0, len(RUN + TASK)), st.integers(0, 40), st.text(st.sampled_from("\t\n -:{}[]&*!|>'\"#%@`<>$?,=\x00\ud83d\ufffe" + "ab1"), max_size=6))
def test_random_texts_never_crash_check(tmp_path_factory, at, cut, new):
    "A stretch of the text is exchanged for signs that mean something in YAML"
    text = RUN + TASK
    folder = write(tmp_path_factory.getbasetemp()/"texts", {"run.yaml": (text[:at] + new + text[at + cut:]).encode("utf-8", "surrogatepass")})
    assert isinstance(check(folder/"run.yaml"), list)
    touch(folder/"run.yaml")


def test_reading_is_light():
    "Neither templates nor .env files are looked at before somebody asks"
    code = "import sys, tracekit.check; print(sorted({'jinja2', 'dotenv', 'pyarrow', 'ipywidgets'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1]).stdout == "[]\n"
