"""`trueno cache graph` on a kernel that was really compiled."""

from __future__ import annotations

import json

from typer.testing import CliRunner

import trueno as tn
from trueno.cli.app import app


def test_graph_draws_a_compiled_kernel():
    @tn.kernel
    def graphed_for_test(x):
        return tn.exp(x) + 1

    graphed_for_test(tn.ones(3))
    result = CliRunner().invoke(app, ["cache", "graph", "graphed_for_test"])
    assert result.exit_code == 0, result.output
    assert result.output.splitlines()[0].endswith("add float32[3]")
    document = json.loads(CliRunner().invoke(app, ["cache", "graph", "graphed_for_test", "--json"]).output)
    assert {"exp", "add", "input"} <= {node["op"] for node in document["nodes"]}


def test_graph_of_a_part_of_trueno_says_that_there_is_none():
    tn.ones(3) + 1
    result = CliRunner().invoke(app, ["cache", "graph", "trueno_run"])
    assert result.exit_code == 1
    assert "holds no IR" in result.output
