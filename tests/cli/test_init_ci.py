"""`comporta init --ci`: the workflows are what GitHub and GitLab take, and each command in them runs."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from msgspec import Struct

from cli.conftest import Type
from comporta.testing.servers import short_folder
from support.serving import Served

TEXT = {"type": "string", "minLength": 1}
LINES = {"type": "array", "items": TEXT, "minItems": 1}
ENV = {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}}
#: What GitHub's own schema of workflows says of the keys that ours use; every other key is a mistake of ours.
GITHUB = {
    "type": "object", "additionalProperties": False, "required": ["on", "jobs"],
    "properties": {
        "name": TEXT,
        "on": {
            "type": "object", "additionalProperties": False, "minProperties": 1,
            "properties": {
                event: {
                    "type": "object", "additionalProperties": False,
                    "properties": {"paths": LINES, "branches": LINES},
                }
                for event in ("push", "pull_request")
            },
        },
        "permissions": {
            "type": "object", "additionalProperties": False,
            "properties": {key: {"enum": ["read", "write", "none"]} for key in ("contents", "pull-requests")},
        },
        "concurrency": {
            "type": "object", "additionalProperties": False, "required": ["group"],
            "properties": {"group": TEXT, "cancel-in-progress": {"type": ["boolean", "string"]}},
        },
        "env": ENV,
        "jobs": {
            "type": "object", "minProperties": 1, "additionalProperties": False,
            "patternProperties": {"^[A-Za-z_][A-Za-z0-9_-]*$": {"$ref": "#/$defs/job"}},
        },
    },
    "$defs": {
        "job": {
            "type": "object", "additionalProperties": False, "required": ["runs-on", "steps"],
            "properties": {
                "runs-on": TEXT, "timeout-minutes": {"type": "integer", "minimum": 1}, "if": TEXT, "env": ENV,
                "needs": {"oneOf": [TEXT, {"type": "array", "items": TEXT}]},
                "steps": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/step"}},
            },
        },
        "step": {
            "type": "object", "additionalProperties": False,
            "properties": {
                "id": {"type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_-]*$"}, "name": TEXT, "if": TEXT, "env": ENV,
                "uses": {"type": "string", "pattern": "^[\\w.-]+/[\\w./-]+@[\\w.-]+$"}, "run": TEXT,
                "with": {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}},
            },
            "oneOf": [{"required": ["uses"]}, {"required": ["run"]}],
            "dependentRequired": {"with": ["uses"]},
        },
    },
}  # fmt: skip
#: The same of GitLab's.
GITLAB = {
    "type": "object", "required": ["stages"],
    "properties": {
        "stages": {"type": "array", "items": TEXT, "minItems": 1},
        "variables": {"type": "object", "additionalProperties": {"type": ["string", "number"]}},
        "default": {
            "type": "object", "additionalProperties": False, "properties": {"image": TEXT, "before_script": LINES},
        },
    },
    "additionalProperties": {
        "type": "object", "additionalProperties": False, "required": ["script", "stage"],
        "properties": {
            "stage": TEXT, "timeout": TEXT, "needs": LINES, "environment": TEXT, "script": LINES, "after_script": LINES,
            "allow_failure": {
                "type": "object", "additionalProperties": False, "required": ["exit_codes"],
                "properties": {"exit_codes": {"type": "array", "items": {"type": "integer"}}},
            },
            "rules": {
                "type": "array",
                "items": {
                    "type": "object", "additionalProperties": False,
                    "properties": {"if": TEXT, "changes": LINES},
                },
            },
            "artifacts": {
                "type": "object", "additionalProperties": False,
                "properties": {
                    "when": {"enum": ["on_success", "on_failure", "always"]}, "paths": LINES,
                    "reports": {"type": "object", "additionalProperties": False, "properties": {"junit": TEXT}},
                },
            },
        },
    },
}  # fmt: skip
PROMPT = """
id: {id}
version: {version}
model: scripted/echo
system_prompt: Help.
user_prompt_template: "{user}"
variables: [message]
"""


class Plain(yaml.SafeLoader):
    """YAML as both read it: `on` is a word, not true (YAML 1.2)."""


Plain.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in found if tag != "tag:yaml.org,2002:bool" or first in "tTfF"]
    for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read(path: Path) -> Any:
    return yaml.load(path.read_text(), Plain)


def mistakes(schema: dict[str, Any], value: Any) -> list[str]:
    return [f"{list(one.absolute_path)}: {one.message}" for one in Draft202012Validator(schema).iter_errors(value)]


@pytest.fixture
def project(at_gate: Type, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with short_folder() as folder:
        monkeypatch.chdir(folder)
        done = at_gate("init", "--no-prompts", "--ci", "github", "--ci", "gitlab")
        assert done.code == 0, done.err
        yield folder


def test_both_are_what_their_readers_take(project: Path) -> None:
    github = read(project / ".github" / "workflows" / "prompts.yaml")
    assert mistakes(GITHUB, github) == []
    assert all(one in github["jobs"] for job in github["jobs"].values() for one in [job.get("needs", "test")])
    gitlab = read(project / ".gitlab-ci.yml")
    assert mistakes(GITLAB, gitlab) == []
    jobs = {name: one for name, one in gitlab.items() if name not in ("stages", "variables", "default")}
    assert all(one["stage"] in gitlab["stages"] and set(one.get("needs", ())) <= set(jobs) for one in jobs.values())


@pytest.mark.parametrize(
    ("schema", "broken"),
    [
        (GITHUB, {"on": {"push": {}}, "jobs": {"a": {"runs-on": "x", "steps": [{"run": "y", "usess": "z"}]}}}),
        (GITHUB, {"on": {"push": {}}, "jobs": {"a": {"runs-on": "x", "steps": [{"name": "nothing"}]}}}),
        (GITLAB, {"stages": ["a"], "job": {"stage": "a", "scripts": ["x"]}}),
    ],
)
def test_the_schemas_find_mistakes(schema: dict[str, Any], broken: Any) -> None:
    assert mistakes(schema, broken)


def test_a_workflow_that_is_there_stays_as_it_is(at_gate: Type, project: Path) -> None:
    path = project / ".gitlab-ci.yml"
    path.write_text("mine: true\n")
    done = at_gate("init", "--no-prompts", "--ci", "gitlab")
    assert done.code == 0 and path.read_text() == "mine: true\n" and "kept" in done.err
    assert at_gate("init", "--no-prompts", "--ci", "jenkins").code == 2


# ---- each command is run --------------------------------------------------------------------------------------------


class Shell(Struct, frozen=True):
    """Runs what a workflow runs, as its runner would: with bash, ended by the first failure."""

    folder: Path
    served: Served

    def run(self, script: str, **more: str) -> subprocess.CompletedProcess[str]:
        own = {
            **{name: value for name, value in os.environ.items() if not name.startswith("COMPORTA")},
            "PATH": f"{self.folder}/bin:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "COMPORTA_URL": self.served.url, "COMPORTA_KEY": self.served.key, "ASKED": str(self.folder / "asked"),
            "GITHUB_SHA": "c0ffee", "CI_COMMIT_SHA": "c0ffee",
        }  # fmt: skip
        return subprocess.run(
            ["bash", "-e", "-o", "pipefail", "-c", script], cwd=self.folder, env=own | more, capture_output=True,
            text=True, timeout=120, check=False,
        )  # fmt: skip

    def asked(self) -> list[str]:
        """What the programs were asked that stand in for those that talk to the world."""
        path = self.folder / "asked"
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def shell(project: Path, served: Served) -> Shell:
    (project / "bin").mkdir()
    for name in ("pip", "gh", "curl"):
        path = project / "bin" / name
        path.write_text(f'#!/bin/sh\necho {name} "$@" >> "$ASKED"\n')
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    made = Shell(project, served)
    write(project, "1.0.0", "Sorry: {message}")
    made.run("git init -q -b main . && git config user.name Ana && git config user.email ana@example.com")
    commit(made)
    return made


def write(project: Path, version: str, user: str) -> str:
    id = f"ci-{project.name[-8:].lower().replace('_', 'x')}"
    (project / "prompts" / "tests").mkdir(parents=True, exist_ok=True)
    (project / "prompts" / f"{id}.yaml").write_text(PROMPT.format(id=id, version=version, user=user))
    cases = "".join(f"  - {{id: c{n}, input: question {n}}}\n" for n in range(30))
    text = f"defaults: {{assert: [{{contains: Sorry}}]}}\ncases:\n{cases}"
    (project / "prompts" / "tests" / f"{id}.yaml").write_text(text)
    return id


def commit(shell: Shell) -> None:
    done = shell.run("git add -A prompts && git commit -qm 'Change a prompt'")
    assert done.returncode == 0, done.stderr


def github_steps(project: Path, job: str) -> list[dict[str, Any]]:
    steps = read(project / ".github" / "workflows" / "prompts.yaml")["jobs"][job]["steps"]
    return [one for one in steps if "run" in one]


def test_every_command_of_the_workflow_for_github_runs(project: Path, shell: Shell) -> None:
    codes = {one["name"]: shell.run(one["run"], PULL_REQUEST="7") for one in github_steps(project, "test")}
    assert [(name, one.returncode) for name, one in codes.items()] == [
        ("Install", 0), ("Check", 0), ("Test against production", 0), ("Tell the result", 0),
    ], {name: one.stdout + one.stderr for name, one in codes.items()}  # fmt: skip
    assert shell.asked() == [
        "pip install comporta", "gh pr comment 7 --edit-last --create-if-none --body-file reports/prompts.md",
    ]  # fmt: skip
    assert {one.name for one in (project / "reports").iterdir()} == {"prompts.xml", "prompts.json", "prompts.md"}
    for one in github_steps(project, "staging"):
        done = shell.run(one["run"])
        assert done.returncode == 0, done.stdout + done.stderr
    id = write(project, "1.0.0", "Sorry: {message}")
    deployed = shell.run(f"comporta prompts history {id} --env staging").stdout
    assert "1.0.0" in deployed and "Merged as c0ffee" in deployed


def test_the_workflow_stops_a_regression_and_only_warns_of_too_little_data(project: Path, shell: Shell) -> None:
    test = next(one["run"] for one in github_steps(project, "test") if one["name"].startswith("Test"))
    id = write(project, "1.0.0", "Sorry: {message}")
    assert (
        shell.run(f"comporta prompts push && comporta prompts deploy {id}@1.0.0 --env production --yes").returncode == 0
    )
    write(project, "1.1.0", "Sorry, dear: {message}")
    commit(shell)
    few = shell.run(test)
    assert few.returncode == 0 and "::warning title=Prompt tests::Not enough data" in few.stdout, few.stdout
    write(project, "1.2.0", "{message}")
    commit(shell)
    assert shell.run(test).returncode == 3


def test_every_command_of_the_workflow_for_gitlab_runs(project: Path, shell: Shell) -> None:
    pipeline = read(project / ".gitlab-ci.yml")
    for script in [
        *pipeline["default"]["before_script"], *pipeline["prompts"]["script"], *pipeline["staging"]["script"],
    ]:  # fmt: skip
        done = shell.run(script)
        assert done.returncode == 0, script + done.stdout + done.stderr
    (after,) = pipeline["prompts"]["after_script"]
    assert shell.run(after).returncode == 0 and shell.asked() == ["pip install comporta"]
    merge = {"GITLAB_TOKEN": "t", "CI_MERGE_REQUEST_IID": "4", "CI_API_V4_URL": "https://git.example.com/api/v4",
             "CI_PROJECT_ID": "9"}  # fmt: skip
    assert shell.run(after, **merge).returncode == 0
    assert shell.asked()[1].endswith("https://git.example.com/api/v4/projects/9/merge_requests/4/notes")
    assert pipeline["prompts"]["allow_failure"]["exit_codes"] == [4]
