"""A prompt made ready: templates cut once, constant messages built once, so that a call only fills in its values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from typing import TYPE_CHECKING, Any

from comporta.config.tree import Path
from comporta.errors import BadRequest
from comporta.prompts.bullets import shown
from comporta.prompts.given import Take, Wrong, taker
from comporta.prompts.jinja import Jinja, environment
from comporta.prompts.plain import Plain, Untemplatable, check_plain
from comporta.prompts.shared import expanded
from comporta.prompts.texts import Placed, examples_text, system_texts, turn_texts
from comporta.prompts.values import Example, History, Rendered, Variable
from comporta.types import Image, Message, Part, Role, Text

if TYPE_CHECKING:
    from comporta.prompts.prompt import Prompt

CODE = "invalid_variable"
_Template = Plain | Jinja
_Ready = Message | tuple[Role, tuple[_Template, ...], bool]


class Templates:
    """Makes the templates of one prompt, of its kind."""

    def __init__(self, prompt: Prompt) -> None:
        self._pieces = prompt.pieces
        self._sandbox = environment() if prompt.template == "jinja" else None
        self._fenced = frozenset(one.name for one in prompt.variables if "prevent_injection" in one.sanitization)
        self._images = frozenset(one.name for one in prompt.variables if one.type == "image")

    def make(self, one: Placed) -> _Template:
        """One text made ready. Raises Untemplatable."""
        text = expanded(one.text, self._pieces)
        if self._sandbox is not None:
            return Jinja(text, self._sandbox, self._fenced, self._images)
        check_plain(text)
        made = Plain(text)
        if one.role != "user" and (wrong := sorted(made.names & self._images)):
            raise Untemplatable(f"can't hold the image {wrong[0]}: images stand in what the user says")
        return made


class Compiled:
    """One version of a prompt, ready to be filled."""

    def __init__(self, prompt: Prompt) -> None:
        self._prompt = prompt
        self._params = prompt.params
        jinja = prompt.template == "jinja"
        self._takers = tuple([_Taker(one, jinja) for one in prompt.variables])
        self._names = frozenset(one.name for one in prompt.variables)
        self._images = tuple(one.name for one in prompt.variables if one.type == "image")
        ready, self._history_at, placed = _Layout(prompt, self._takers).messages()
        self._ready = tuple(ready)
        #: Images that no text has a place for go to the end of what the user says.
        self._loose = tuple(name for name in self._images if jinja or name not in placed)

    def render(self, given: Mapping[str, Any], history: Sequence[Message]) -> Rendered:
        """The messages with these values."""
        values = self._values(given)
        try:
            messages = [one if isinstance(one, Message) else _filled(one, values) for one in self._ready]
        except Untemplatable as why:
            raise BadRequest(f"prompt {self._prompt.label}: {why}", code=CODE, param="prompt.variables") from None
        if self._loose:
            _append_images(messages, [values[name] for name in self._loose])
        at = self._history_at
        prompt, before = self._prompt, _said(messages[:at])
        return Rendered(
            id=prompt.id,
            version=prompt.version,
            messages=(*before, *history, *_said(messages[at:])),
            model=prompt.model,
            params=self._params,
            tools=prompt.tools,
            response_format=prompt.response_format,
            timeout_s=prompt.timeout_s,
            unused=() if self._names.issuperset(given) else tuple(name for name in given if name not in self._names),
            history_at=len(before),
        )

    def _values(self, given: Mapping[str, Any]) -> dict[str, object]:
        values: dict[str, object] = {}
        wrong: list[tuple[str, str]] = []
        for one in self._takers:
            value = given.get(one.name)
            if value is None:
                if one.required:
                    wrong.append((one.name, "is missing (required)"))
                values[one.name] = one.fallback
                continue
            try:
                values[one.name] = one.take(value)
            except Wrong as why:
                wrong.append((one.name, str(why)))
        if wrong:
            raise self._refused(wrong)
        return values

    def _refused(self, wrong: list[tuple[str, str]]) -> BadRequest:
        told = "; ".join(f"variable {name} {why}" for name, why in wrong)
        return BadRequest(f"prompt {self._prompt.label}: {told}", code=CODE, param=f"prompt.variables.{wrong[0][0]}")


class _Taker:
    """A variable made ready."""

    __slots__ = ("fallback", "name", "required", "take")

    def __init__(self, variable: Variable, jinja: bool) -> None:
        self.name, self.required = variable.name, variable.required
        self.take: Take = taker(variable, whole=jinja)
        self.fallback: object = None if jinja or variable.type == "image" else ""
        if variable.default is not None:
            try:
                self.fallback = self.take(variable.default)
            except Wrong as why:
                raise Untemplatable(f"has a default that its own rules refuse: {why}") from None


class _Layout:
    """Puts the messages of a prompt in order: system, examples, then its own turns around the history."""

    def __init__(self, prompt: Prompt, takers: Iterable[_Taker]) -> None:
        self._prompt = prompt
        self._takers = {one.name: one for one in takers}
        self._templates = Templates(prompt)
        self._names: set[str] = set()

    def messages(self) -> tuple[list[_Ready], int, Set[str]]:
        """The messages, where the history goes among them, and the variables that their texts hold."""
        prompt = self._prompt
        turns: list[_Ready | History] = [
            one if isinstance(one, History) else self._message(one.role, [self._made(one)])
            for one in turn_texts(prompt)
        ]
        leading = next((at for at, one in enumerate(turns) if _role(one) != "system"), len(turns))
        shown = self._examples()
        system = [self._made(one) for one in system_texts(prompt)]
        if prompt.examples_as == "text" and shown:
            system.append(Plain(examples_text(prompt, shown), literal=True))
        first = [self._message("system", system)] if system else []
        as_turns = [] if prompt.examples_as == "text" else [one for pair in shown for one in _turns(pair)]
        whole = [*first, *turns[:leading], *as_turns, *turns[leading:]]
        at = _history_at(whole)
        return [one for one in whole if not isinstance(one, History)], at, self._names

    def _made(self, one: Placed) -> _Template:
        made = self._templates.make(one)
        self._names |= made.names
        return made

    def _message(self, role: Role, templates: Sequence[_Template]) -> _Ready:
        if all(isinstance(one, Plain) and not one.names for one in templates):
            return Message(role, (Text("\n\n".join(one.text({}) for one in templates)),))
        images = any(self._is_image(name) for one in templates for name in one.names)
        return role, tuple(templates), images

    def _is_image(self, name: str) -> bool:
        return any(one.name == name and one.type == "image" for one in self._prompt.variables)

    def _examples(self) -> list[tuple[str, str]]:
        return [(self._asked(position, one), one.output) for position, one in enumerate(self._prompt.examples)]

    def _asked(self, position: int, example: Example) -> str:
        if isinstance(example.input, str):
            return example.input
        text = self._prompt.user_prompt_template.strip("\n")
        if not text:
            return shown(example.input)
        template = self._templates.make(Placed(("examples", position), "user", text))
        try:
            values = {name: self._example_value(name, example.input.get(name)) for name in template.names}
        except Wrong as why:
            raise Untemplatable(f"has an example (number {position + 1}) whose input breaks a rule: {why}") from None
        return template.text(values)

    def _example_value(self, name: str, value: Any) -> object:
        taker = self._takers.get(name)
        if taker is None or value is None:
            return "" if taker is None else taker.fallback or ""
        taken = taker.take(value)
        return "" if isinstance(taken, Image) else taken


def _turns(pair: tuple[str, str]) -> tuple[Message, Message]:
    return Message("user", (Text(pair[0]),)), Message("assistant", (Text(pair[1]),))


def _role(one: _Ready | History) -> str:
    if isinstance(one, History):
        return "history"
    return one.role if isinstance(one, Message) else one[0]


def _history_at(whole: list[_Ready | History]) -> int:
    """Where the file says, else before the user's last word, which is the question."""
    for at, one in enumerate(whole):
        if isinstance(one, History):
            return at
    return len(whole) - 1 if whole and _role(whole[-1]) == "user" else len(whole)


def _filled(ready: tuple[Role, tuple[_Template, ...], bool], values: Mapping[str, object]) -> Message:
    role, templates, images = ready
    if images:
        return Message(role, tuple(part for one in templates for part in one.parts(values)))
    if len(templates) == 1:
        text = templates[0].text(values)
    else:
        text = "\n\n".join([said for one in templates if (said := one.text(values))])
    return Message(role, (Text(text),) if text else ())


def _said(messages: list[Message]) -> list[Message]:
    """Those that say anything: conditions may have left one empty."""
    return [one for one in messages if one.parts]


def _append_images(messages: list[Message], images: list[object]) -> None:
    found: tuple[Part, ...] = tuple(one for one in images if isinstance(one, Image))
    if not found:
        return
    at = next((at for at in reversed(range(len(messages))) if messages[at].role == "user"), None)
    if at is None:
        messages.append(Message("user", found))
    else:
        messages[at] = Message("user", (*messages[at].parts, *found))


def check_text(prompt: Prompt, one: Placed, templates: Templates) -> tuple[Set[str], tuple[Path, str] | None]:
    """The variables that a text holds, or what is wrong with it."""
    try:
        return templates.make(one).names, None
    except Untemplatable as why:
        return frozenset(), (one.path, str(why))
