"""A running gate asked by its own OpenAPI pages: whatever is sent, the answer is one that the page tells of."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlencode

import jsonschema_rs
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import negative_data_rejection

from comporta.testing.servers import short_folder
from support.easygoing import easygoing
from support.serving import Served
from support.talking import ask

JSON = dict[str, Any]

#: How often an operation is asked, each way. The same examples every time, so that a failure can be looked at again.
EXAMPLES = 6
CONFIG = """
providers:
  openai: {{base_url: "{url}/v1", api_key: sk-easygoing-000000000000000}}
  anthropic: {{base_url: "{url}", api_key: sk-ant-easygoing-000000000000000}}
  offline: {{}}
routes:
  support: {{model: openai/any}}
retry: {{attempts: 1}}
breaker: {{failures: 100000, share: 100%}}
"""
#: What no schema can say of the doors: refusals of bodies that their page allows must be of one of these kinds.
OF_DOORS = re.compile(
    r"which no earlier message called|must be a token|array of tokens|not valid base64|not an image"
    r"|names no prompt of its own|needs prompt.id beside it|by version and by label|prompt_reference|invalid_prompt"
    r"|can't be shown|Give either|must be the `next`|has a name and a value|value is missing|holds a NUL|holds half"
    r"|is no name of an environment|is no version|is no id of a prompt|no guard policy|there is no guard '"
    r"|no_capable_model|unknown_task|unknown_strategy|messages\[|context_length_exceeded|tag_not_allowed"
    r"|is not UTF-8 text|form can't be read|form has no file|lines; at most|but no tools are given|to list after"
    r"|at lies in|up to 246 characters"
    r"|holds no judgement|`place` goes|at most 400d"
)
#: The admin API's refusals of a form, in pydantic's own words: its page must have said them all. What a field's value
#: means (a date gone by, a name that another has) is for the rooms to refuse.
OF_FORM = re.compile(
    r"(?:: |^)(?:Input |Field required|Extra inputs|(?:String|List|Tuple|Set|Dictionary|Data|Decimal|URL|UUID) |Unable)"
)
#: These want something to be there that nobody guesses; the tests of their rooms ask them for what they are for.
WANTING = re.compile(
    r" /(?:v1/feedback/token|admin/(?:prompts|rollouts|experiments|notices|channels|scores|reviews|traces|alerts"
    r"|conversations|findings|route|cache|metrics))(?:/|$)"
)
#: These want a file that was uploaded, a batch over it, a call to judge or a guard's name: test_batches, test_feedback
#: and test_guards ask them.
UPLOADED = re.compile(r" /v1/(?:files|batches|feedback|guard)(?:/|$)")


@pytest.fixture
def gate() -> Iterator[Served]:
    """A gate of each test's own: what is asked of it makes budgets and ends keys."""
    with easygoing() as upstream, short_folder() as folder:
        served = Served(folder, CONFIG.format(url=upstream.url))
        served.start()
        yield served
        assert served.stop() == 0, served.output


class Asking:
    """Asks every operation of a page with what it allows and with what it does not."""

    def __init__(self, gate: Served, page: JSON, beyond: Callable[[str], object]) -> None:
        """`beyond` tells the refusals of what the page allows that no schema can forestall."""
        self._gate = gate
        self._page = page
        self._beyond = beyond
        schema = schemathesis.openapi.from_dict(page)
        schema.config.update(base_url=gate.url)
        found: Any = schema.get_all_operations()
        self._operations = [one.ok() for one in found]
        self._offered = {value for one in _parameters(page) for value in one["schema"].get("enum", ())}
        self.wrong: list[str] = []
        #: Statuses by operation, of what the page allows.
        self.answers: dict[str, Counter[int]] = {}

    def all(self) -> None:
        for operation in self._operations:
            self.answers[operation.label] = Counter()
            self._ask(operation, GenerationMode.POSITIVE)
            if operation.body or operation.query or operation.path_parameters:
                # Headers alone are free text: nothing is wrong in them.
                self._ask(operation, GenerationMode.NEGATIVE)

    def _ask(self, operation: Any, mode: GenerationMode) -> None:
        @settings(
            max_examples=EXAMPLES, derandomize=True, database=None, deadline=None, phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(case=operation.as_strategy(generation_mode=mode))
        def one(case: Any) -> None:
            answer = case.call(headers={"Authorization": f"Bearer {self._gate.key}"})
            if mode is GenerationMode.POSITIVE:
                self.answers[operation.label][answer.status_code] += 1
                if answer.status_code == 400 and self._beyond(answer.json()["error"]["message"]):
                    return
            # Lists and objects have no one form in a query: what comes of them may be a text again.
            # Nor is a name wrong for not being among those that were offered, or a body that another form fits.
            stray = [one for one in (case.path_parameters or {}).values() if str(one) not in self._offered]
            fine = (
                answer.status_code == 413
                or stray
                or _holds_more_than_texts(case.query)
                or self._allows(operation, case.body)
            )
            left_out = [negative_data_rejection] if fine else []
            try:
                case.validate_response(answer, excluded_checks=left_out)
            except FailureGroup as failure:
                told = "; ".join(f"{type(found).__name__} {found}" for found in failure.exceptions)
                asked = f"{case.path_parameters} {case.query} {str(case.body)[:200]}"
                self.wrong.append(
                    f"{operation.label} ({mode.name}) {asked}\n{answer.status_code} {answer.text[:300]}\n{told[:500]}"
                )

        try:
            one()
        except Unsatisfiable:
            assert mode is GenerationMode.NEGATIVE, f"{operation.label}: the page allows nothing"

    def _allows(self, operation: Any, body: Any) -> bool:
        """Whether the page allows this body after all: what breaks one form may be one of another."""
        path = self._page["paths"][operation.path][operation.method]
        form = path.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
        if form is None or not isinstance(body, dict):
            return False
        return jsonschema_rs.is_valid({**form, "components": self._page["components"]}, body)

    def never_answered(self) -> set[str]:
        """Operations that have not once done what they are for."""
        return {label for label, found in self.answers.items() if not any(status < 300 for status in found)}


def _holds_more_than_texts(query: Any) -> bool:
    return any(isinstance(value, list | dict) for value in dict(query or {}).values())


def _page(gate: Served, path: str) -> JSON:
    page: JSON = ask(gate, path, key=None).json
    return page


def _parameters(page: JSON) -> Iterator[JSON]:
    for methods in page["paths"].values():
        for operation in methods.values():
            yield from (one for one in operation.get("parameters", ()) if one["in"] == "path")


def _offer(page: JSON, path: str, method: str, name: str, values: list[str]) -> None:
    """Let a path's parameter be one of what there is: anything else is only not found."""
    parameters: list[JSON] = page["paths"][path][method]["parameters"]
    next(one for one in parameters if one["name"] == name)["schema"] = {"enum": values}


def test_the_doors_answer_as_their_page_says_whatever_they_are_asked(gate: Served) -> None:
    page = _page(gate, "/openapi.json")
    for name in ("ChatRequest", "CompletionRequest", "EmbeddingRequest", "ResponseRequest"):
        page["components"]["schemas"][name]["properties"]["model"] = {"enum": ["openai/any", "support"]}
    for name in ("MessageRequest", "CountRequest"):
        page["components"]["schemas"][name]["properties"]["model"] = {"enum": ["anthropic/any"]}
    for methods in page["paths"].values():
        for operation in methods.values():
            # Providers may refuse in any way; this one refuses nothing, so only what is told exactly may come.
            operation["responses"].pop("4XX", None)
    kept = [ask(gate, "/v1/responses", {"model": "anthropic/any", "input": f"{n}"}).json["id"] for n in range(6)]
    _offer(page, "/v1/responses/{id}", "get", "id", kept[:2])
    _offer(page, "/v1/responses/{id}/input_items", "get", "id", kept[:2])
    _offer(page, "/v1/responses/{id}", "delete", "id", kept[2:])
    _offer(page, "/v1/models/{id}", "get", "id", ["support", "offline/extractive"])
    _prompts(gate, page)
    asking = Asking(gate, page, OF_DOORS.search)
    asking.all()
    assert not asking.wrong, "\n".join(asking.wrong)
    assert not {operation for operation in asking.never_answered() if not UPLOADED.search(operation)}
    assert ask(gate, "/v1/chat/completions", _EXAMPLE).status == 200


def _prompts(gate: Served, page: JSON) -> None:
    """A prompt that says all there is to say, to be asked with and to be shown."""
    text = "id: greeting\nversion: 1.0.0\nmodel: openai/any\nuser_prompt_template: Hello.\n"
    pushed = ask(gate, "/admin/prompts/push", {"files": [{"name": "greeting.yaml", "text": text, "author": "ana"}]})
    assert pushed.status < 300, pushed.body
    tags = {"commit_sha": "c0ffee1", "author": "ana", "model_version": "1"}
    body = {"version": "1.0.0", "environment": "production", "why": "test", "tags": tags}
    assert ask(gate, "/admin/prompts/greeting/deploy", body).status < 300
    there = {"id": ["greeting"], "version": ["1.0.0"], "label": ["production"]}
    for name, values in there.items():
        for schema in ("PromptUse", "RenderRequest"):
            if name in page["components"]["schemas"][schema]["properties"]:
                page["components"]["schemas"][schema]["properties"][name] = {"enum": [*values, None]}
        for path, method in (("/v1/prompts/{id}", "get"), ("/v1/prompts/{id}/render", "post")):
            if any(one["name"] == name for one in page["paths"][path][method]["parameters"]):
                _offer(page, path, method, name, values)


_EXAMPLE = {"model": "support", "messages": [{"role": "user", "content": "Still there?"}]}


def test_the_admin_api_answers_as_its_page_says_whatever_it_is_asked(gate: Served) -> None:
    call = ask(gate, "/v1/chat/completions", _EXAMPLE).call
    page = _page(gate, "/admin/openapi.json")
    keys = [ask(gate, "/admin/keys", {"name": f"key-{n}"}).json["id"] for n in range(6)]
    budget = {"scope": "team", "value": "a", "period": "month", "limit_microusd": 10}
    budgets = [ask(gate, "/admin/budgets", {"name": f"budget-{n}", **budget}).json["id"] for n in range(6)]
    for n in range(5):
        registered = {"name": f"small-{n}", "provider": "openai", "model": "gpt-4o-mini"}
        assert ask(gate, "/admin/models", registered).status == 201
    for name in ("ModelIn", "NamedModelIn"):
        page["components"]["schemas"][name]["properties"]["provider"] = {"enum": ["openai", "offline"]}
    for path, method, found in (
        ("/admin/keys/{id}", "get", keys[:3]), ("/admin/keys/{id}", "patch", keys[:3]),
        ("/admin/keys/{id}/rotate", "post", keys[:3]), ("/admin/keys/{id}/revoke", "post", keys[3:]),
        ("/admin/budgets/{id}", "get", budgets[:3]), ("/admin/budgets/{id}", "patch", budgets[:3]),
        ("/admin/budgets/{id}", "delete", budgets[3:]), ("/admin/calls/{id}", "get", [call]),
    ):  # fmt: skip
        _offer(page, path, method, "id", found)
    for path, method, named in (
        ("/admin/models/{name}", "get", ["small-0", "support"]),
        ("/admin/models/{name}", "put", ["small-1", "small-2"]),
        ("/admin/models/{name}", "delete", ["small-3", "small-4"]), ("/admin/routes/{name}", "get", ["support"]),
    ):  # fmt: skip
        _offer(page, path, method, "name", named)
    asking = Asking(gate, page, lambda told: not OF_FORM.search(told))
    asking.all()
    assert not asking.wrong, "\n".join(asking.wrong)
    refused = {f"{method} /admin/routes/{{name}}" for method in ("PUT", "PATCH", "DELETE")}
    silent = {operation for operation in asking.never_answered() if not WANTING.search(operation)}
    assert silent == refused, "routes stand in the configuration: 409"


_MOMENTS = (
    "0001-01-01T00:00:00+15:59", "3272-12-30T03:25:31-16:06", "9999-12-31T23:59:59-23:59", "9999-12-31T23:59:59.999999",
)  # fmt: skip


def test_moments_at_the_ends_of_the_calendar_and_in_odd_zones_break_no_list(gate: Served) -> None:
    asked = 0
    for path, methods in _page(gate, "/admin/openapi.json")["paths"].items():
        names = {one["name"] for one in methods.get("get", {}).get("parameters", ()) if one["in"] == "query"}
        for name in names & {"since", "until"}:
            for moment in _MOMENTS:
                answer = ask(gate, f"{path}?{urlencode({name: moment})}")
                assert answer.status in (200, 400, 404), (path, name, moment, answer.body)
                asked += 1
    assert asked >= 40
