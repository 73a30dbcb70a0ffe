"""Small expressions over what a chain knows: read once through an allow list; nothing they may say takes long.

Python's syntax without its power: names, fields, comparisons, `and`, `or`, `not`, `in`, `+`, `-`, `a if b else c` and a
few functions. No text repeats, nothing loops, and objects have fields of data only.
"""

from __future__ import annotations

import ast
import operator
import warnings
from collections.abc import Callable, Mapping
from typing import Any

from comporta.config.mistakes import did_you_mean

Context = Mapping[str, Any]
Evaluate = Callable[[Context], Any]

LONGEST = 1_000
MOST_PARTS = 200
#: What a value may be shortened to in a message.
_SHOWN = 60
_WORDS: Mapping[str, Any] = {"true": True, "false": False, "null": None, "none": None}


class Unreadable(Exception):
    """A text is no expression; the message says why."""


class Unanswerable(Exception):
    """An expression has no answer for these values; the message says why, without the values."""


class Expression:
    """One expression, ready to be asked. `names` are what it looks up in the context.

    Raises Unreadable for what is none, or is more than is allowed.
    """

    __slots__ = ("_evaluate", "names", "text")

    def __init__(self, text: str) -> None:
        self.text = text.strip()
        tree = _parsed(self.text)
        self.names = frozenset(
            node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and not _is_word(node.id)
        ) - _called(tree)
        self._evaluate = _read(tree)

    def __call__(self, context: Context) -> Any:
        """Its value. Raises Unanswerable."""
        try:
            return self._evaluate(context)
        except RecursionError:
            raise Unanswerable("compares values that are nested too deep") from None


def _parsed(text: str) -> ast.expr:
    if not text:
        raise Unreadable("is empty")
    if len(text) > LONGEST:
        raise Unreadable(f"is longer than {LONGEST:,} characters")
    try:
        with warnings.catch_warnings():
            # Of odd escapes in a text; they mean here what they mean to Python.
            warnings.simplefilter("ignore")
            tree = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise Unreadable(f"is no expression ({getattr(error, 'msg', 'it can not be read')})") from None
    if sum(1 for _ in ast.walk(tree)) > MOST_PARTS:
        raise Unreadable(f"has more than {MOST_PARTS} parts")
    return tree


def _is_word(name: str) -> bool:
    return name in _WORDS


def _called(tree: ast.expr) -> frozenset[str]:
    return frozenset(
        node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    )


def _read(node: ast.expr) -> Evaluate:
    reader = _READERS.get(type(node))
    if reader is None:
        raise Unreadable(f"has a part that is not allowed here ({type(node).__name__}); allowed are {ALLOWED}")
    return reader(node)


ALLOWED = "names, fields, texts, numbers, lists, comparisons, and, or, not, in, +, -, a if b else c, and functions"


def _constant(node: Any) -> Evaluate:
    value = node.value
    if value is not None and type(value) not in (str, int, float, bool):
        raise Unreadable(f"has a value of a kind that no data has ({type(value).__name__})")
    return lambda context: value


def _name(node: Any) -> Evaluate:
    name: str = node.id
    if name in _WORDS:
        word = _WORDS[name]
        return lambda context: word

    def look_up(context: Context) -> Any:
        if name not in context:
            raise Unanswerable(f"asks for {name}, which is not there{did_you_mean(name, context)}")
        return context[name]

    return look_up


def _attribute(node: Any) -> Evaluate:
    value, key = _read(node.value), node.attr
    return lambda context: _field(value(context), key)


def _subscript(node: Any) -> Evaluate:
    if isinstance(node.slice, ast.Slice):
        raise Unreadable("takes a slice, which is not allowed here: an index is one number or one name")
    value, index = _read(node.value), _read(node.slice)
    return lambda context: _field(value(context), index(context))


def _field(value: Any, key: Any) -> Any:
    """What stands under a name or a number; None where nothing does, or where there is nothing to look in."""
    if value is None:
        return None
    if isinstance(value, Mapping):
        return value.get(key) if isinstance(key, str | int) else None
    if isinstance(value, list | tuple):
        if type(key) is not int:
            raise Unanswerable(f"asks a list for {str(key)[:_SHOWN]}: entries of a list have numbers")
        return value[key] if -len(value) <= key < len(value) else None
    raise Unanswerable(f"asks {_kind(value)} for the field {str(key)[:_SHOWN]}; only objects have fields")


def _boolean(node: Any) -> Evaluate:
    parts = [_read(part) for part in node.values]
    stops_at = isinstance(node.op, ast.Or)

    def decide(context: Context) -> Any:
        value: Any = None
        for part in parts:
            value = part(context)
            if bool(value) is stops_at:
                break
        return value

    return decide


def _unary(node: Any) -> Evaluate:
    value = _read(node.operand)
    if isinstance(node.op, ast.Not):
        return lambda context: not value(context)
    if isinstance(node.op, ast.USub):
        return lambda context: -_number_of(value(context), "-")
    raise Unreadable("has a sign that is not allowed here")


_SUMS: Mapping[type[ast.operator], tuple[str, Callable[[Any, Any], Any]]] = {
    ast.Add: ("+", operator.add),
    ast.Sub: ("-", operator.sub),
}


def _sum(node: Any) -> Evaluate:
    known = _SUMS.get(type(node.op))
    if known is None:
        raise Unreadable("calculates with more than + and -, which is not allowed here")
    sign, calculate = known
    left, right = _read(node.left), _read(node.right)

    def calculated(context: Context) -> Any:
        first, second = left(context), right(context)
        if sign == "+" and type(first) is type(second) and isinstance(first, str | list):
            return first + second
        return calculate(_number_of(first, sign), _number_of(second, sign))

    return calculated


def _number_of(value: Any, sign: str) -> Any:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    raise Unanswerable(f"has {_kind(value)} beside {sign}, which takes numbers")


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def either(left: Any, right: Any) -> bool:
        if left is None or right is None:
            # What was skipped or left out is neither more nor less than anything.
            return False
        numbers = isinstance(left, int | float) and isinstance(right, int | float)
        if not numbers and not (isinstance(left, str) and isinstance(right, str)):
            raise Unanswerable(f"compares {_kind(left)} with {_kind(right)}")
        return compare(left, right)

    return either


def _contains(left: Any, right: Any) -> bool:
    if right is None:
        return False
    if isinstance(right, str):
        return isinstance(left, str) and left in right
    if isinstance(right, Mapping):
        return isinstance(left, str | int) and left in right
    if isinstance(right, list | tuple):
        return left in right
    raise Unanswerable(f"looks for something in {_kind(right)}")


_COMPARISONS: Mapping[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Is: operator.eq,
    ast.IsNot: operator.ne,
    ast.Lt: _ordered(operator.lt),
    ast.LtE: _ordered(operator.le),
    ast.Gt: _ordered(operator.gt),
    ast.GtE: _ordered(operator.ge),
    ast.In: _contains,
    ast.NotIn: lambda left, right: not _contains(left, right),
}


def _comparison(node: Any) -> Evaluate:
    first = _read(node.left)
    others = [(_COMPARISONS[type(op)], _read(part)) for op, part in zip(node.ops, node.comparators, strict=True)]

    def compared(context: Context) -> bool:
        left = first(context)
        for holds, part in others:
            right = part(context)
            if not holds(left, right):
                return False
            left = right
        return True

    return compared


def _either(node: Any) -> Evaluate:
    test, yes, no = _read(node.test), _read(node.body), _read(node.orelse)
    return lambda context: yes(context) if test(context) else no(context)


def _listed(node: Any) -> Evaluate:
    parts = [_read(part) for part in node.elts]
    return lambda context: [part(context) for part in parts]


def _call(node: Any) -> Evaluate:
    if not isinstance(node.func, ast.Name):
        raise Unreadable("calls a method, which is not allowed here: write lower(name) and not name.lower()")
    function = FUNCTIONS.get(node.func.id)
    if function is None:
        known = did_you_mean(node.func.id, FUNCTIONS) or f"; there are {', '.join(FUNCTIONS)}"
        raise Unreadable(f"calls {node.func.id[:_SHOWN]}, which is no function here{known}")
    count = _COUNTS.get(node.func.id, 1)
    if node.keywords or len(node.args) != count:
        raise Unreadable(f"gives {node.func.id} other than {count} value{'' if count == 1 else 's'}")
    arguments = [_read(argument) for argument in node.args]
    return lambda context: function(*[argument(context) for argument in arguments])


def _length(value: Any) -> int:
    if value is None:
        return 0
    if isinstance(value, str | list | tuple | Mapping):
        return len(value)
    raise Unanswerable(f"asks how long {_kind(value)} is")


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    raise Unanswerable(f"takes {_kind(value)} for a text")


def _number(value: Any) -> float | None:
    """None for what is no number."""
    if isinstance(value, int | float):
        return value
    try:
        return float(value) if isinstance(value, str) and len(value) <= LONGEST else None
    except ValueError:
        return None


#: The functions there are, all in time that grows no faster than their values.
FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "len": _length,
    "lower": lambda value: _text(value).lower(),
    "upper": lambda value: _text(value).upper(),
    "strip": lambda value: _text(value).strip(),
    "text": _text,
    "number": _number,
    "starts_with": lambda value, start: _text(value).startswith(_text(start)),
    "ends_with": lambda value, end: _text(value).endswith(_text(end)),
}
_COUNTS = {"starts_with": 2, "ends_with": 2}


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "true or false"
    for kind, words in ((str, "a text"), (int | float, "a number"), (list | tuple, "a list"), (Mapping, "an object")):
        if isinstance(value, kind):
            return words
    return "nothing" if value is None else "something that is no data"


_READERS: Mapping[type[ast.expr], Callable[[Any], Evaluate]] = {
    ast.Constant: _constant,
    ast.Name: _name,
    ast.Attribute: _attribute,
    ast.Subscript: _subscript,
    ast.BoolOp: _boolean,
    ast.UnaryOp: _unary,
    ast.BinOp: _sum,
    ast.Compare: _comparison,
    ast.IfExp: _either,
    ast.List: _listed,
    ast.Tuple: _listed,
    ast.Call: _call,
}
