"""What the example shop promises to those who copy from it."""

from __future__ import annotations

import ast

from genops_otel_posthog.demo.run import FLAGS, SHOP
from genops_otel_posthog.receiver.server import load_definitions


def _imports(tree: ast.AST) -> list[str]:
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names.append(node.module or "")
    return names


def test_only_name_owners_knows_genops_and_nothing_knows_opentelemetry() -> None:
    tree = ast.parse(SHOP.read_text())
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}

    governed = [name for name, node in functions.items() if "genops_otel_posthog" in _imports(node)]

    assert governed == ["name_owners"]
    assert _imports(tree).count("genops_otel_posthog") == 1
    assert not [name for name in _imports(tree) if name.startswith("opentelemetry")]


def test_the_shop_reads_every_flag_that_is_defined_for_it() -> None:
    literals = {node.value for node in ast.walk(ast.parse(SHOP.read_text())) if isinstance(node, ast.Constant)}

    assert load_definitions(FLAGS).by_key.keys() <= literals
