"""What docs/rudderstack.md and docs/database.md say is so: statements, tables, transformations."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

import generate_event_schema as script
from generate_semconv import ROOT
from genops_otel_posthog.export.destinations.database_schema import EVENT_TABLES, Row
from genops_otel_posthog.export.destinations.event_schema import json_schema
from genops_otel_posthog.export.destinations.rudderstack_mapping import _CALLS, to_message

RUDDERSTACK = (ROOT / "docs" / "rudderstack.md").read_text(encoding="utf-8")
DATABASE = (ROOT / "docs" / "database.md").read_text(encoding="utf-8")
NOW = datetime(2026, 11, 22, 13, tzinfo=timezone.utc)
TRACE = "5b8efff798038103d269b633813fc60c"

EVENTS: dict[str, dict[str, Any]] = {
    "tool_used": {"trace_id": TRACE, "workspace_id": "w-1", "status": "error", "latency_ms": 12.5},
    "flow_executed": {"$trace_id": TRACE, "success": False, "time_ms": 40, "user_id": "user-2"},
    "agent_execution": {"trace_id": TRACE, "query": "Where is my order?", "execution_time": 3},
    "agent_error": {"trace_id": TRACE, "error_message": "größer"},
    "$ai_generation": {
        "$ai_trace_id": TRACE,
        "$ai_latency": 1.5,
        "$ai_input": [{"role": "user"}],
        "$ai_is_error": True,
    },
    "order_completed": {"status": "shipped", "amount": 9},
}


def block(page: str, language: str, containing: str) -> str:
    found = [text for text in re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL) if containing in text]
    assert len(found) == 1, containing
    return str(found[0])


def event(name: str) -> dict[str, Any]:
    return {
        "event": name,
        "distinct_id": "user-1",
        "uuid": "7b4d1c70-0000-8000-8000-000000000001",
        "timestamp": "2026-11-22T12:00:00+00:00",
        "properties": EVENTS[name],
    }


def transformed_in_python(message: dict[str, Any]) -> dict[str, Any]:
    namespace: dict[str, Any] = {}
    exec(block(RUDDERSTACK, "python", "def transformEvent"), namespace)
    result: dict[str, Any] = namespace["transformEvent"](json.loads(json.dumps(message)), lambda _event: {})
    return result


# --- the database -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql", "snowflake", "bigquery"])
@pytest.mark.requirement("S3-53", "D-47")
def test_the_statements_of_the_page_are_those_of_the_code(dialect: str) -> None:
    pytest.importorskip("sqlalchemy", reason="needs SQLAlchemy")
    from genops_otel_posthog.export.destinations.database_tables import ddl

    assert f"```sql\n{ddl(dialect)}```" in DATABASE


@pytest.mark.requirement("D-47", "S3-26")
@pytest.mark.parametrize("name", EVENTS)
def test_a_row_of_every_table_is_what_the_committed_json_schema_says(name: str) -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="needs jsonschema")
    committed = json.loads((ROOT / script.SCHEMA).read_text(encoding="utf-8"))
    assert committed == json_schema()
    jsonschema.Draft202012Validator.check_schema(committed)
    found = 0
    for table in EVENT_TABLES:
        values = table.values(Row(event(name), NOW))
        if values is not None:
            found += 1
            row = json.loads(
                json.dumps(values, default=lambda each: each.isoformat() if hasattr(each, "hour") else float(each))
            )
            jsonschema.validate(row, {**committed, "$ref": f"#/$defs/{table.name}"})
            with pytest.raises(jsonschema.ValidationError):
                jsonschema.validate({**row, "id": None}, {**committed, "$ref": f"#/$defs/{table.name}"})
    assert found


@pytest.mark.parametrize("table", EVENT_TABLES, ids=lambda table: table.name)
def test_the_page_names_every_column_with_its_meaning(table: Any) -> None:
    section = DATABASE.partition(f"### {table.name}\n")[2].partition("\n#")[0]
    rows = re.findall(r"^\| `(\w+)` \| (.*) \|$", section, re.MULTILINE)
    assert rows == [
        (column.name, column.meaning + ("; never null" if column.required else "")) for column in table.columns
    ]
    assert set(re.findall(r"`([$\w]+)`", section.partition("|")[0])) == (table.events or set())


# --- RudderStack --------------------------------------------------------------------------------------------------


def test_the_page_names_every_event_that_is_a_call_of_its_own() -> None:
    table = RUDDERSTACK.partition("## What arrives")[2].partition("| every other")[0]
    assert set(re.findall(r"^\| (`.*?`) \| `", table, re.MULTILINE)) == {
        "`$identify`, `$set`", "`$groupidentify`", "`$create_alias`", "`$pageview`", "`$screen`",
    }  # fmt: skip
    assert set(_CALLS) == set(re.findall(r"`(\$\w+)`", " ".join(re.findall(r"^\| (`.*?`) \| `", table, re.MULTILINE))))


@pytest.mark.parametrize("name", EVENTS)
@pytest.mark.requirement("S3-54")
def test_the_transformation_makes_the_row_that_the_database_would_have(name: str) -> None:
    expected = EVENT_TABLES[0].values(Row(event(name), NOW))
    assert expected is not None
    result = transformed_in_python(to_message(event(name)))
    assert (result["event"], result["messageId"], result["userId"]) == (
        "event_logs",
        expected["id"],
        expected["user_id"],
    )
    properties = result["properties"]
    for column in ("event_type", "workspace_id", "status", "latency_ms", "trace_id"):
        assert properties[column] == expected[column]
    content = {"$ai_input", "query"}
    context = json.loads(properties["context"])
    assert context.items() >= {key: value for key, value in expected["context"].items() if key not in content}.items()
    assert content.isdisjoint(context)


def test_the_transformation_leaves_other_calls_as_they_are() -> None:
    message = to_message(event("tool_used") | {"event": "$identify"})
    assert transformed_in_python(message) == message


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node.js")
@pytest.mark.requirement("S3-54")
def test_the_transformation_in_javascript_does_what_the_one_in_python_does(tmp_path: Path) -> None:
    (tmp_path / "transformation.mjs").write_text(block(RUDDERSTACK, "js", "transformEvent"), encoding="utf-8")
    messages = [*map(to_message, map(event, EVENTS)), to_message(event("tool_used") | {"event": "$identify"})]
    program = (
        "import {transformEvent} from './transformation.mjs'; import {readFileSync} from 'node:fs';"
        "console.log(JSON.stringify(JSON.parse(readFileSync(0, 'utf8')).map((event) => transformEvent(event))))"
    )
    finished = subprocess.run(
        ["node", "--input-type=module", "--eval", program],
        input=json.dumps(messages),
        capture_output=True,
        encoding="utf-8",
        cwd=tmp_path,
        check=False,
        timeout=60,
    )
    assert finished.returncode == 0, finished.stderr
    for from_javascript, message in zip(json.loads(finished.stdout), messages, strict=True):
        from_python = transformed_in_python(message)
        for result in (from_javascript, from_python):
            if result.get("event") == "event_logs":
                result["properties"]["context"] = json.loads(result["properties"]["context"])
        assert from_javascript == from_python
