"""What others read: every value of a dataset, in every program that a user may open it with, is what was written."""
import json
import math
import os
import shutil

import msgspec
import pytest
from conftest import SAMPLE, SHARED

from tracekit.convert import FORMATS
from tracekit.dataset import Dataset, column_kinds, rows_between, write_parquet, write_part
from tracekit.pipeline import convert

os.environ.setdefault("HF_HUB_OFFLINE", "1")   # before datasets is imported: nothing here comes from the Hub

FOLDERS = ["rollouts/logs/claude_code", "rollouts/logs/codex", "rollouts/logs/hermes_agent", "rollouts/logs/pi_coding_agent", "rollouts/logs/atif", "rollouts/logs/gemini_cli",
           "rollouts/edge", "invariant", "spans/noveum", "spans/openinference", "spans/langfuse", "tau2/scripted",
           *(f"tau2/real/{n}" for n in ("000_*", "013_*", "031_*", "039_*", "040_*", "048_*"))]   # patterns below data: every format, and the columns that differ most

HARD = '''
"Rows with hard values"
import msgspec
from tracekit import format
from tracekit.trace import assistant, call, output, user

class Hard(msgspec.Struct):
    columns: dict
    n: int

@format("hard", "hard: n, columns", under="hard", columns=lambda record, context: record.columns)
def hard(record: Hard, context):
    yield user("Привет \\u2028 \\x00 👩\\u200d💻", f"m{record.n}")
    yield call("c1", "f", '{"a": 1.0, "b": "007", "big": 123456789012345678901234567890}', created_by="assistant")
    yield output("c1", "", created_by="assistant")
    yield assistant("", f"a{record.n}")
'''
ROWS = [
    {"id": "007", "n": 1, "f": 1.5, "b": True, "mixed": 1, "big": 2**70, "most": 2**63 - 1, "least": -2**63, "unsigned": 2**64 - 1, "one": 1, "text": "é👩‍💻\u2028", "arguments": '{"x": 1.0}', "nested": [[1], [], ["a", None]],
     "object": {"a": 1}, "date": "2026-03-01", "nothing": None, "small": 5e-324, "zero": 0.0, "third": 0.3333333333333333, "floats": [1.0, 1, 1e300], "a.b": "x", 'a"b\\c': "y", "null": "null"},
    {"id": "8", "n": 2, "f": 2.0, "b": False, "mixed": "x", "big": 3, "most": 0, "least": 1, "unsigned": 1, "one": 1.0, "text": "", "arguments": "{}", "nested": [], "object": {}, "date": "03/04/2026", "nothing": None,
     "small": -0.0, "zero": -0.0, "third": 12.032601500002784, "floats": None, "late": "only here", "null": None},
    {"id": "", "n": None, "f": None, "b": None, "mixed": None, "big": None, "one": None, "text": "a\x00b\tc\n\"d\"\\", "arguments": "not JSON", "nested": None, "object": {"b": "x"}, "small": 0.30000000000000004, "zero": 1e22, "third": 0.001002, "null": ""}]


def texts(path):
    "The rows of a JSONL file, each value as its text"
    with open(path, "rb") as f: return [msgspec.json.decode(text, type=dict[str, msgspec.Raw]) for text in f]


def expected(path):
    "What a reader of the Parquet files should see: scalars as they are, the rest as the JSON text that stands in the JSONL file"
    rows, kinds = texts(path), {}
    for row in rows:
        for name in row: kinds.setdefault(name, set())
    for name in kinds:
        values = [msgspec.json.decode(row[name]) for row in rows if name in row]
        found = {type(v) for v in values if v is not None}
        flat = len(found) <= 1 and found <= {bool, int, float, str} and not any(type(v) is int and not -2**63 <= v < 2**63 for v in values)
        kinds[name] = msgspec.json.decode if flat else lambda raw: None if bytes(raw) == b"null" else bytes(raw).decode()
    return [{name: kinds[name](row[name]) if name in row else None for name in kinds} for row in rows]


def same(a, b):
    "Equal values of one type; -0.0 is not 0.0"
    return type(a) is type(b) and a == b and (not isinstance(a, float) or math.copysign(1, a) == math.copysign(1, b))


def changed(rows, wanted):
    "Where rows differ from those that are wanted"
    if len(rows) != len(wanted): return f"{len(rows)} rows, wanted {len(wanted)}"
    return [(n, name, row.get(name, "missing"), want[name]) for n, (row, want) in enumerate(zip(rows, wanted)) for name in want if not same(row.get(name, "missing"), want[name])][:3] + [
        list(row) for row, want in zip(rows, wanted) if list(row) != list(want)][:1]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    "Datasets of every format, as JSONL and as Parquet: {name: (file, folder)}"
    out = tmp_path_factory.mktemp("made")
    (out/"hard.py").write_text(HARD)
    (out/"hard.json").write_text(json.dumps({"hard": [{"columns": row, "n": n} for n, row in enumerate(ROWS)]}))
    inputs = {"sample": ([SAMPLE], "auto"), "hard": ([out/"hard.json"], str(out/"hard.py"))}
    for pattern in FOLDERS if (SHARED/"data").is_dir() else []:
        found = sorted((SHARED/"data").glob(pattern))
        inputs[pattern.replace("/", "-").rstrip("*_")] = ([p for p in found if not p.name.startswith("labels_")], "auto")
    for name, (logs, format) in inputs.items():
        for to in ("jsonl", "parquet"): convert(logs, out/to, name, format=format, to=to, progress=False)
    FORMATS.pop("hard", None)
    return {name: (out/"jsonl"/f"{name}.jsonl", out/"parquet"/name) for name in inputs}


def _arrow(folder):
    import pyarrow.dataset
    return pyarrow.dataset.dataset(folder).to_table().to_pylist()


def _pandas(folder):
    pd = pytest.importorskip("pandas", reason="pandas is not installed")
    return [{n: None if v is pd.NA else v for n, v in row.items()} for row in pd.read_parquet(folder, dtype_backend="pyarrow").to_dict("records")]


def _datasets(folder, **options):
    datasets = pytest.importorskip("datasets", reason="the package datasets is not installed: pip install 'tracekit[dev]'")
    return [dict(row) for row in datasets.load_dataset("parquet", data_files=f"{folder}/*.parquet", split="train", cache_dir=str(folder.parents[1]/"cache"), **options)]


def _streamed(folder): return _datasets(folder, streaming=True)


def _duckdb(folder):
    duckdb = pytest.importorskip("duckdb", reason="DuckDB is not installed: pip install 'tracekit[dev]'")
    with duckdb.connect() as db:
        found = db.execute(f"SELECT * FROM '{folder}/*.parquet'")
        return [dict(zip([d[0] for d in found.description], row)) for row in found.fetchall()]


def _polars(folder):
    return pytest.importorskip("polars", reason="Polars is not installed: pip install 'tracekit[dev]'").scan_parquet(folder/"*.parquet").collect().to_dicts()


def _dask(folder):
    dd = pytest.importorskip("dask.dataframe", reason="Dask is not installed: pip install 'dask[dataframe]'")
    pd = pytest.importorskip("pandas")
    return [{n: None if v is pd.NA else v for n, v in row.items()} for row in dd.read_parquet(folder, dtype_backend="pyarrow").compute().to_dict("records")]


@pytest.mark.parametrize("reader", [_arrow, _pandas, _datasets, _streamed, _duckdb, _polars, _dask], ids=lambda f: f.__name__.strip("_"))
def test_parquet_is_read_as_it_was_written(made, reader):
    "Every value of every row, its type, the order of rows and columns"
    assert {name: changed(reader(folder), expected(lines)) for name, (lines, folder) in made.items()} == {name: [] for name in made}


@pytest.fixture(scope="module")
def spark():
    sql = pytest.importorskip("pyspark.sql", reason="Spark is not installed: pip install pyspark")
    if not shutil.which("java"): pytest.skip("Spark needs Java, and there is none on the PATH")
    started = sql.SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false").config("spark.ui.showConsoleProgress", "false").getOrCreate()
    started.sparkContext.setLogLevel("OFF")
    yield started
    started.stop()


def test_spark(made, spark):
    "The same in Spark; and the lines of the JSONL as text"
    assert {name: changed([r.asDict() for r in spark.read.parquet(str(folder)).collect()], expected(lines)) for name, (lines, folder) in made.items()} == {name: [] for name in made}
    for lines, _ in made.values(): assert [r.value.encode() for r in spark.read.text(str(lines)).collect()] == lines.read_bytes().splitlines()
    lines, folder = made["sample"]
    found = spark.read.parquet(str(folder)).selectExpr("get_json_object(trace, '$.items[1].role') role").collect()
    assert [r.role for r in found] == [row["trace"]["items"][1].get("role") for row in Dataset(lines).plain()]


def test_parquet_and_jsonl_are_one_dataset(made):
    "Dataset gives the same rows of both; what is null in a line is not there in Parquet, and back"
    for lines, folder in made.values():
        a, b = ([json.dumps({k: v for k, v in sorted(row.items()) if v is not None}) for row in Dataset(path).plain()] for path in (lines, folder))
        assert a == b, lines


# ---------------------------------------------------------------- the JSONL
def test_datasets_loads_the_jsonl(made):
    "All columns under their names, and no agent session is seen in it; only integers beyond 64 bits cannot be loaded, which the text loader does"
    datasets = pytest.importorskip("datasets", reason="the package datasets is not installed: pip install 'tracekit[dev]'")
    def load(kind, lines): return datasets.load_dataset(kind, data_files=str(lines), split="train", cache_dir=str(lines.parents[1]/"cache"))
    for name, (lines, _) in made.items():
        wanted = list(Dataset(lines).plain())
        assert [json.dumps(json.loads(row["text"])) for row in load("text", lines)] == [json.dumps(row) for row in wanted], name
        if name == "hard":
            with pytest.raises(Exception, match="too big"): datasets.load_dataset("json", data_files=str(lines), split="train", streaming=True)
            continue
        loaded = load("json", lines)
        assert loaded.column_names == list(dict.fromkeys(column for row in wanted for column in row)) and len(loaded) == len(wanted), name
        for row, want in zip(loaded, wanted):
            assert [(i["type"], i.get("arguments"), i.get("call_id")) for i in row["trace"]["items"]] == [(i["type"], i.get("arguments"), i.get("call_id")) for i in want["trace"]["items"]], name


def test_a_session_of_an_agent_is_what_datasets_takes_some_columns_for(tmp_path):
    "Columns of the user's own may look like a log; then the option of the docs is needed, and enough"
    datasets = pytest.importorskip("datasets", reason="the package datasets is not installed: pip install 'tracekit[dev]'")
    path = tmp_path/"x.jsonl"
    path.write_text("".join(json.dumps({"trace": {"items": []}, "type": "x", "message": {f"m{n}": n}}) + "\n" for n in range(3)))
    def load(**options): return datasets.load_dataset("json", data_files=str(path), split="train", streaming=True, **options)
    assert "harness" in load().features
    assert [row["message"] for row in load(parse_agent_traces=False)] == [{"m0": 0}, {"m1": 1}, {"m2": 2}]


def test_polars_reads_the_lines(made):
    pl = pytest.importorskip("polars", reason="Polars is not installed: pip install 'tracekit[dev]'")
    for lines, _ in made.values(): assert [text.encode() for text in pl.scan_lines(lines).collect().to_series()] == lines.read_bytes().splitlines()


def test_duckdb_reads_the_jsonl(made):
    "With all columns as JSON, the text of every value is the one in the file"
    duckdb = pytest.importorskip("duckdb", reason="DuckDB is not installed: pip install 'tracekit[dev]'")
    for name, (lines, _) in made.items():
        if name == "hard": continue   # its column names are no identifiers
        rows, columns = texts(lines), {}
        for row in rows: columns.update(dict.fromkeys(row, "JSON"))
        found = duckdb.connect().execute(f"SELECT * FROM read_json('{lines}', format = 'newline_delimited', columns = {columns}, maximum_object_size = {1 << 28})").fetchall()
        wanted = [[None if bytes(row.get(c, b"null")) == b"null" else msgspec.json.decode(row[c]) for c in columns] for row in rows]
        assert [[None if v is None else json.loads(v) for v in row] for row in found] == wanted, name


# ---------------------------------------------------------------- inside the trace
def test_queries(made):
    "The queries of the docs: calls by name in DuckDB, the first text in Polars"
    lines, folder = made["sample"]
    rows = list(Dataset(lines).plain())
    duckdb = pytest.importorskip("duckdb", reason="DuckDB is not installed: pip install 'tracekit[dev]'")
    found = duckdb.connect().execute(f"""
        SELECT item->>'name', count(*) FROM (SELECT unnest(from_json(trace->'items', '["JSON"]')) item FROM '{folder}/*.parquet')
        WHERE item->>'type' = 'function_call' GROUP BY 1""").fetchall()
    names = [i["name"] for row in rows for i in row["trace"]["items"] if i["type"] == "function_call"]
    assert dict(found) == {name: names.count(name) for name in names} and names
    pl = pytest.importorskip("polars", reason="Polars is not installed: pip install 'tracekit[dev]'")
    found = pl.scan_parquet(folder/"*.parquet").select(pl.col("trace").str.json_path_match("$.items[0].content[0].text")).collect()
    assert found["trace"].to_list() == [row["trace"]["items"][0]["content"][0]["text"] for row in rows]


def test_a_query_written_back(made, tmp_path):
    "With the names of its JSON columns, what DuckDB writes is a dataset again"
    duckdb = pytest.importorskip("duckdb", reason="DuckDB is not installed: pip install 'tracekit[dev]'")
    lines, folder = made["sample"]
    names = duckdb.connect().execute(f"SELECT decode(value) FROM parquet_kv_metadata('{folder}/*.parquet') WHERE decode(key) = 'tracekit.json'").fetchall()[0][0]
    duckdb.connect().execute(f"COPY (SELECT * FROM '{folder}/*.parquet' WHERE reward < 1) TO '{tmp_path}/some.parquet' (FORMAT parquet, KV_METADATA {{'tracekit.json': '{names}'}})")
    assert list(Dataset(tmp_path/"some.parquet").plain()) == [row for row in Dataset(folder).plain() if row["reward"] < 1] != []


# ---------------------------------------------------------------- how the files are made
def shape(path):
    import pyarrow.parquet as pq
    found = pq.ParquetFile(path)
    return found.metadata, found.schema_arrow.names


def test_groups_and_files_end_at_their_size(tmp_path, monkeypatch):
    "Files by bytes of JSON, row groups by bytes in memory, one very long row among them; no row is lost or moved"
    from tracekit import dataset
    for name, size in (("PARQUET_BYTES", 40_000), ("GROUP_BYTES", 10_000), ("PAGE_BYTES", 1000)): monkeypatch.setattr(dataset, name, size)
    rows = [{"n": n, "trace": {"items": ["x" * (100_000 if n == 50 else 100)]}} for n in range(1000)]
    lines = [msgspec.json.encode(row) + b"\n" for row in rows]
    made = write_parquet(iter(lines), column_kinds(lines), tmp_path)
    assert list(Dataset(tmp_path).plain()) == rows and list(rows_between(tmp_path, 45, 300)) == rows[45:300]
    metadata = [shape(path)[0] for path in made]
    assert len(made) > 3 and all(m.num_row_groups > 2 for m in metadata[1:-1])
    assert sum(m.row_group(g).num_rows for m in metadata for g in range(m.num_row_groups)) == 1000


def test_what_readers_skip_by(tmp_path):
    "Columns of scalars have their least and largest values, a page index and a dictionary; columns of JSON text carry none of that weight"
    lines = [b'{"reward":%d,"domain":"retail","trace":{"items":[%d]}}' % (n, n) for n in range(10)]
    assert write_part(lines, column_kinds(lines), tmp_path/"x.parquet") == 10
    metadata, names = shape(tmp_path/"x.parquet")
    columns = {name: metadata.row_group(0).column(n) for n, name in enumerate(names)}
    assert (columns["reward"].statistics.min, columns["reward"].statistics.max) == (0, 9) and columns["trace"].statistics is None
    assert columns["reward"].has_column_index and columns["trace"].has_offset_index
    assert columns["domain"].has_dictionary_page and not columns["trace"].has_dictionary_page and {c.compression for c in columns.values()} == {"ZSTD"}


def test_rows_without_json_columns_or_rows(tmp_path):
    "Kinds of one sort only; a file without rows"
    for rows in ([{"a": 1, "b": "x"}], [{"a": [1]}, {"a": None}, {}], [{"a": None}]):
        lines = [msgspec.json.encode(row) for row in rows]
        write_part(lines, column_kinds(lines), tmp_path/"x.parquet")
        assert list(Dataset(tmp_path/"x.parquet").plain()) == [{"a": None, **row} if "a" in column_kinds(lines) else row for row in rows]
    assert write_part([], {"a": "json", "b": "str"}, tmp_path/"none.parquet") == 0 and list(Dataset(tmp_path/"none.parquet").plain()) == []


@pytest.mark.parametrize("value, kind", [(b"1", "int"), (b"-0", "int"), (b"9223372036854775807", "int"), (b"9223372036854775808", "json"), (b"-9223372036854775809", "json"), (b"1.0", "float"), (b"1e3", "float"),
                                         (b'"1"', "str"), (b'""', "str"), (b"true", "bool"), (b"false", "bool"), (b"null", "str"), (b"{}", "json"), (b"[1]", "json"), (b"  7 ", "int")])
def test_kinds(value, kind): assert column_kinds([b'{"x":' + value + b"}\n"]) == {"x": kind}
