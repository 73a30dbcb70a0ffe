"""Puts a case into the words of a chat call: the prompt filled in, the case's own question in its place."""

from __future__ import annotations

from comporta.errors import BadRequest
from comporta.evaluation.suite import Suite, Trying
from comporta.prompts.prompt import Prompt
from comporta.prompts.values import Guardrails, Rendered
from comporta.providers.base import Query
from comporta.providers.openai_encode import body_of
from comporta.types import JSON, Input, Message, Text

DEFAULT_MODEL = "default"


class Version:
    """What answers: one version of a prompt, or (without one) whatever a route makes of a plain question."""

    def __init__(self, prompt: Prompt | None, *, label: str = "", model: str | None = None) -> None:
        self.prompt = prompt
        self.label = label or (prompt.label if prompt is not None else f"route {model or DEFAULT_MODEL}")
        #: Wins over what suite and prompt say.
        self.model = model

    @property
    def digest(self) -> str:
        """What the prompt says, in short; a route's name where there is no prompt."""
        return self.label if self.prompt is None else self.prompt.digest

    def asked(self, suite: Suite) -> str:
        """The name that is asked for."""
        own = self.prompt.model if self.prompt is not None else None
        return self.model or suite.model or own or DEFAULT_MODEL

    @property
    def bounds(self) -> tuple[float | None, Guardrails | None]:
        """The prompt's time limit in seconds, and its guards."""
        return (None, None) if self.prompt is None else (self.prompt.timeout_s, self.prompt.guarded)

    def body(self, suite: Suite, trying: Trying) -> JSON:
        """The body of OpenAI's chat completions. Raises BadRequest that names the prompt and its variable."""
        model = self.asked(suite)
        if self.prompt is None:
            return body_of(Query("chat", Input(messages=_plain(trying)), model), {})[0]
        rendered = self._rendered(self.prompt, suite, trying)
        given = Input(
            messages=rendered.messages, tools=rendered.tools, response_format=rendered.response_format
        )  # fmt: skip
        body, _ = body_of(Query("chat", given, model), {})
        return {**body, **rendered.params}

    def _rendered(self, prompt: Prompt, suite: Suite, trying: Trying) -> Rendered:
        case = trying.case
        variables = dict(case.variables)
        history = case.messages
        if case.input:
            name = filled_by_input(prompt, suite, trying)
            if name is not None:
                variables[name] = case.input
            else:
                history = (*history, _said(case.input))
        rendered = prompt.render(variables, history)
        known = {one.name for one in prompt.variables}
        if unknown := [name for name in case.variables if name not in known]:
            raise BadRequest(
                f"{prompt.label} has no variable {', '.join(unknown)}; it has {', '.join(sorted(known)) or 'none'}",
                param="variables",
            )
        return rendered


def filled_by_input(prompt: Prompt, suite: Suite, trying: Trying) -> str | None:
    """The variable that a case's input fills; None where the prompt has no open place and it follows as a message.

    Raises BadRequest where several are open.
    """
    known = [one.name for one in prompt.variables]
    if suite.input_variable is not None:
        # A baseline may have had the place under another name, or none yet.
        return suite.input_variable if suite.input_variable in known else None
    open_ = [one.name for one in prompt.variables if one.required and one.name not in trying.case.variables]
    if len(open_) > 1:
        raise BadRequest(
            f"case {trying.case.id} has an input, and {prompt.label} has {', '.join(open_)} open: give their "
            "variables, or say `input_variable: …` in the file of tests",
            param="variables",
        )
    return open_[0] if open_ else _last_place(prompt, trying)


def _last_place(prompt: Prompt, trying: Trying) -> str | None:
    """An optional variable that stands alone in the user's message is the user's word too."""
    alone = prompt.user_prompt_template.strip()
    names = [one.name for one in prompt.variables if alone in (f"{{{one.name}}}", f"{{{{ {one.name} }}}}")]
    return names[0] if names and names[0] not in trying.case.variables else None


def question(trying: Trying) -> str:
    """What scorers and judges see of the question: the input, else what the variables say, else the last message."""
    case = trying.case
    if case.input:
        return case.input
    if case.messages and not case.variables:
        return case.messages[-1].text
    return "\n".join(f"{name}: {value}" for name, value in case.variables.items())


def _plain(trying: Trying) -> tuple[Message, ...]:
    case = trying.case
    messages = (*case.messages, _said(case.input)) if case.input else case.messages
    if not messages:
        raise BadRequest(f"case {trying.case.id} has variables alone, and a route is asked with an input or a history")
    return messages


def _said(text: str) -> Message:
    return Message("user", (Text(text),))
