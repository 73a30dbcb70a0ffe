"""Texts with jinja's conditions and loops, in a sandbox: values and their fields, some filters, and nothing else.

What a text may do is read off its syntax tree when the file is loaded: no calls, no imports, no macros, no object but
the values. A value is data of the running template and never becomes part of its text.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Set
from typing import Any

from jinja2 import ChainableUndefined, TemplateError, TemplateSyntaxError, nodes
from jinja2.meta import find_undeclared_variables
from jinja2.sandbox import ImmutableSandboxedEnvironment

from comporta.prompts.bullets import shown
from comporta.prompts.plain import Untemplatable
from comporta.types import Part, Text

FILTERS = (
    "abs", "capitalize", "count", "d", "default", "dictsort", "first", "float", "groupby", "int", "items", "join",
    "last", "length", "list", "lower", "map", "max", "min", "reject", "rejectattr", "replace", "reverse", "round",
    "select", "selectattr", "sort", "sum", "title", "tojson", "trim", "truncate", "unique", "upper", "wordcount",
)  # fmt: skip
TESTS = (
    "defined", "undefined", "none", "number", "integer", "float", "string", "mapping", "sequence", "iterable",
    "boolean", "true", "false", "odd", "even", "divisibleby", "in", "eq", "equalto", "ne", "lt", "le", "gt", "ge",
    "lower", "upper", "==", "!=", "<", "<=", ">", ">=",
)  # fmt: skip
_LOOP = frozenset({"index", "index0", "revindex", "revindex0", "first", "last", "length", "depth", "depth0",
                   "previtem", "nextitem"})  # fmt: skip
_FORBIDDEN: Mapping[type[nodes.Node], str] = {
    nodes.Call: "calls a function or method; use filters ({{ name|upper }})",
    nodes.Import: "imports another template; use {include: id@version}",
    nodes.FromImport: "imports another template; use {include: id@version}",
    nodes.Include: "includes another template; use {include: id@version}",
    nodes.Extends: "extends another template; use {include: id@version}",
    nodes.Block: "has a block, which only templates that extend others need",
    nodes.Macro: "defines a macro; use {include: id@version}",
    nodes.CallBlock: "calls a macro; use {include: id@version}",
    nodes.Assign: "sets a variable; print or test values as they are",
    nodes.AssignBlock: "sets a variable; print or test values as they are",
    nodes.With: "sets a variable; print or test values as they are",
    nodes.Pow: "uses **, which can grow without bounds",
    nodes.NSRef: "uses a namespace",
}
#: A text that is repeated can grow beyond all bounds, as can one that loops within loops.
LONGEST = 2_000_000


class _Sandbox(ImmutableSandboxedEnvironment):
    """Knows the fields of values, the state of a loop, and numbers that are multiplied."""

    intercepted_binops = frozenset({"*"})

    def getattr(self, obj: Any, attribute: str) -> Any:
        if isinstance(obj, Mapping):
            return obj[attribute] if attribute in obj else self.undefined(obj=obj, name=attribute)
        if type(obj).__name__ == "LoopContext" and attribute in _LOOP:
            return getattr(obj, attribute)
        return self.undefined(obj=obj, name=attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        if isinstance(obj, Mapping | list | tuple | str):
            try:
                return obj[argument]
            except (LookupError, TypeError, ValueError):
                pass
        return self.undefined(obj=obj, name=argument)

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        if any(type(one) not in (int, float) or abs(one) > 1e15 for one in (left, right)):
            raise TemplateError("only numbers can be multiplied")
        return super().call_binop(context, operator, left, right)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def environment() -> ImmutableSandboxedEnvironment:
    """The sandbox that all texts of a prompt share."""
    made = _Sandbox(
        undefined=ChainableUndefined, finalize=shown, trim_blocks=True, lstrip_blocks=True, autoescape=False,
        keep_trailing_newline=False, cache_size=0, optimized=False,
    )  # fmt: skip
    made.globals.clear()
    made.filters = {name: one for name, one in made.filters.items() if name in FILTERS}
    made.filters["tojson"] = _json
    made.tests = {name: one for name, one in made.tests.items() if name in TESTS}
    return made


class Jinja:
    """One text made ready. Raises Untemplatable where the sandbox doesn't take it."""

    def __init__(
        self, text: str, sandbox: ImmutableSandboxedEnvironment, whole: Set[str], images: Set[str] = frozenset()
    ) -> None:
        """`whole` are the variables that are fenced: parts of them would leave their fence. Images are no text."""
        try:
            tree = sandbox.parse(text)
            _check(tree, sandbox, whole, images)
            self.names: Set[str] = frozenset(find_undeclared_variables(tree))
            self._template = sandbox.from_string(text)
        except TemplateSyntaxError as error:
            raise Untemplatable(f"is no jinja: {_sentence(error)} (line {error.lineno} of the text)") from None
        except (TemplateError, SyntaxError, RecursionError, ValueError, OverflowError, MemoryError) as error:
            raise Untemplatable(f"is no jinja that can be used ({type(error).__name__})") from None

    def text(self, values: Mapping[str, object]) -> str:
        """The text with the values in it. Raises Untemplatable where the values don't fit what it does."""
        try:
            return "".join(self._bounded(values))
        except TemplateError as error:
            raise Untemplatable(_sentence(error)) from None
        except (TypeError, ValueError, ArithmeticError, LookupError, AttributeError, RecursionError) as error:
            raise Untemplatable(f"its jinja can't work with these values ({type(error).__name__})") from None

    def parts(self, values: Mapping[str, object]) -> tuple[Part, ...]:
        """The same as parts of a message."""
        text = self.text(values)
        return (Text(text),) if text else ()

    def _bounded(self, values: Mapping[str, object]) -> Iterator[str]:
        size = 0
        for piece in self._template.generate(values):
            size += len(piece)
            if size > LONGEST:
                raise TemplateError(f"comes to more than {LONGEST:,} characters")
            yield piece


def _sentence(error: TemplateError) -> str:
    return " ".join((error.message or type(error).__name__).split())[:200]


def _check(tree: nodes.Template, sandbox: ImmutableSandboxedEnvironment, whole: Set[str], images: Set[str]) -> None:
    questions = [one.test for one in tree.find_all(nodes.If)] + [one.test for one in tree.find_all(nodes.CondExpr)]
    asked = {id(name) for question in questions for name in _asked(question)}
    printed = {id(name) for output in tree.find_all(nodes.Output) for name in output.nodes}
    for node in tree.find_all(nodes.Node):
        for kind, why in _FORBIDDEN.items():
            if isinstance(node, kind):
                raise _at(node, why)
        _known(node, sandbox)
        if isinstance(node, nodes.Getattr) and node.attr.startswith("_"):
            raise _at(node, f"asks for {node.attr}, and values have no such field")
        if isinstance(node, nodes.Name) and id(node) not in asked:
            _printable(node, node.name in whole and id(node) not in printed, node.name in images)


def _printable(node: nodes.Name, in_parts: bool, is_image: bool) -> None:
    if in_parts:
        raise _at(
            node,
            f"does more with {node.name} than a fenced value (prevent_injection) allows: print it whole, "
            f"{{{{ {node.name} }}}}, or ask for it, {{% if {node.name} %}}",
        )
    if is_image:
        raise _at(
            node,
            f"prints the image {node.name}: images go to the end of what the user says; a text can only ask for one, "
            f"{{% if {node.name} %}}",
        )


def _at(node: nodes.Node, why: str) -> Untemplatable:
    return Untemplatable(f"{why} (line {node.lineno} of the text)")


def _asked(node: nodes.Node) -> Iterator[nodes.Name]:
    if isinstance(node, nodes.Name):
        yield node
    elif isinstance(node, nodes.Not | nodes.And | nodes.Or | nodes.Test):
        for below in node.iter_child_nodes():
            yield from _asked(below)


def _known(node: nodes.Node, sandbox: ImmutableSandboxedEnvironment) -> None:
    if isinstance(node, nodes.Filter) and node.name not in sandbox.filters:
        raise _at(node, f"uses the filter {node.name}, which is none of {', '.join(sorted(sandbox.filters))}")
    if isinstance(node, nodes.Test) and node.name not in sandbox.tests:
        raise _at(node, f"uses the test {node.name}, which is none of {', '.join(sorted(sandbox.tests))}")
