"""Finds personal data in a text: one automaton says what may be there, and only that is looked at closer."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

import re2

from comporta.guardrails.base import Match
from comporta.guardrails.looking import Text
from comporta.guardrails.pii.checks import IBAN_LENGTHS, SHAPE, bare, iban
from comporta.guardrails.pii.emails import AT_HINT, SPELT_HINT, emails, spelt_emails
from comporta.guardrails.pii.labels import Said, said_around, said_before, with_after
from comporta.guardrails.pii.names import NAMES, PAIR_HINT, pairs
from comporta.guardrails.pii.recognisers import Recogniser, table
from comporta.guardrails.pii.streets import STREETS
from comporta.guardrails.secret.assigned import ASSIGNED_HINT, assigned

Find = Callable[[str, str], Iterable[Match]]
Row = tuple[Recogniser, re.Pattern[str]]

_DIGITS = re.compile(r"[0-9]+")
#: The fewest digits of anything that is looked for.
_ENOUGH = re.compile(r"[0-9](?:[^\w\n]{0,3}[0-9]){3}")
_JOINS = frozenset("./:-")
_END = re.compile(r"(?!\w)(?![./:-][0-9])(?!-\w)")
_OPEN_END = re.compile(r"(?!\w)(?![./-][0-9])(?!-\w)")
_FREE_END = re.compile(r"(?!\w)(?![./:-][0-9])")
_IBAN = re.compile(r"(?<!\w)([A-Za-z]{2})[0-9]{2}(?:[ -]?[0-9A-Za-z]){11,33}")
_IBAN_HINT = r"[A-Za-z]{2}[0-9]{2}(?:[ -]?[0-9A-Za-z]){11}"
#: Digits one by one, as people write them who do not want to be found.
_SPACED = re.compile(r"(?<!\w)[0-9](?: [0-9]){8,18}(?! ?\w)")
_SPACED_HINT = r"[0-9](?: [0-9]){8}"
_SPACED_KINDS = ("CPF", "CNPJ", "CARD_NUMBER", "SSN", "PHONE", "PIS")
#: From here on a number is what it looks like, whatever the words around it say.
_FIRM = 0.9
#: The least that a label makes of what fits its form.
_LABELLED = 0.8
#: Less is never told.
_LEAST = 0.3


class Finder:
    """Finds kinds of personal data. `kinds`: those wanted; `regions`: whose national numbers are known; `lowest`: the
    least confidence that will be asked for (some looks are worth their time below the usual one only)."""

    def __init__(self, kinds: Collection[str], regions: Sequence[str], lowest: float = 0.5) -> None:
        self._kinds = frozenset(kinds)
        rows = [one for one in table(regions) if one.kind in self._kinds]
        self._rows: tuple[Row, ...] = tuple((one, re.compile(_whole(one))) for one in rows)
        self._words = tuple(self._finders(lowest))
        options = re2.Options()
        options.max_mem = 64 << 20
        self._hints = re2.Set.SearchSet(options)
        for hint in (*(one.core for one in rows), *(hint for hint, _ in self._words)):
            self._hints.Add(hint)
        self._hints.Compile()

    def _finders(self, lowest: float) -> Iterator[tuple[str, Find]]:
        every: tuple[tuple[set[str], str, Find], ...] = (
            ({"EMAIL"}, AT_HINT, emails),
            ({"EMAIL"}, SPELT_HINT, spelt_emails),
            ({"IBAN"}, _IBAN_HINT, _ibans),
            *(({"ADDRESS"}, hint, find) for hint, find in STREETS),
            *(({"PERSON"}, hint, find) for hint, find in NAMES),
            ({"PERSON"} if lowest < 0.5 else set(), PAIR_HINT, pairs),
            ({"PASSWORD", "API_KEY", "TOKEN"}, ASSIGNED_HINT, assigned),
            (set(_SPACED_KINDS), _SPACED_HINT, self._spaced),
        )
        return ((hint, find) for kinds, hint, find in every if kinds & self._kinds)

    def find(self, text: Text, least: float) -> list[Match]:
        """What is in a text from a confidence on: disjoint, in order, in places of the text as it came."""
        found: list[Match] = []
        for _ in self.steps(text, least, found):
            pass
        return found

    def steps(self, text: Text, least: float, into: list[Match]) -> Iterator[None]:
        """The same, put into a list at the end, and stopping often so that others get their turn."""
        plain = text.plain
        hits = self._hints.Match(plain)
        if not hits:
            return
        low, count = text.low, len(self._rows)
        found: list[Match] = []
        for hit in hits:
            if hit >= count:
                found += self._words[hit - count][1](plain, low)
                yield
        rows = [self._rows[hit] for hit in hits if hit < count]
        if rows:
            yield from _numbers(rows, plain, low, found)
        some = [m for m in found if m.confidence >= least and m.kind in self._kinds]
        into += [Match(*text.at(m.start, m.end), m.kind, m.confidence) for m in chosen(some)]

    def _spaced(self, plain: str, low: str) -> Iterator[Match]:
        for found in _SPACED.finditer(plain):
            said = said_around(low, found.start(), found.end())
            number = found.group().replace(" ", "")
            for one, pattern in self._rows:
                if one.kind in _SPACED_KINDS and pattern.fullmatch(number):
                    grade = one.check(number)
                    sure = graded(one, grade if one.kind != "PIS" else min(grade, SHAPE), said)
                    yield Match(found.start(), found.end(), one.kind, sure)


def chosen(found: Sequence[Match]) -> list[Match]:
    """Of what overlaps the surest, else the longest; in the order of the text."""
    kept: list[Match] = []
    for match in sorted(found, key=lambda m: (-m.confidence, m.start - m.end, m.start)):
        if all(match.end <= other.start or match.start >= other.end for other in kept):
            kept.append(match)
    return sorted(kept)


# ---- numbers --------------------------------------------------------------------------------------------------------


def _whole(one: Recogniser) -> str:
    return rf"(?<!\w)(?:{one.core})" if one.letters else one.core


def _numbers(rows: Sequence[Row], plain: str, low: str, found: list[Match]) -> Iterator[None]:
    look = _Look(plain, low, found)
    digital = [row for row in rows if not row[0].letters]
    for one, pattern in rows:
        if one.letters:
            for match in pattern.finditer(plain):
                look.at(one, match)
            yield
    if not digital:
        return
    for start in _starts(plain):
        for one, pattern in digital:
            match_or_none = pattern.match(plain, start)
            if match_or_none is not None:
                look.at(one, match_or_none)
        yield


def _starts(plain: str) -> Iterator[int]:
    """Where a number may begin: at digits that nothing joins to what stands before, and at a plus or bracket before."""
    for digits in _DIGITS.finditer(plain):
        start = digits.start()
        before = plain[start - 1] if start else ""
        if before.isalnum() or before == "_" or (before in _JOINS and plain[start - 2 : start - 1].isdigit()):
            continue
        if _ENOUGH.match(plain, start) is None:
            continue
        yield start
        if before and before in "(+ ":
            begun = start
            while begun and start - begun < 3 and plain[begun - 1] in "(+ ":
                begun -= 1
                if plain[begun] != " ":
                    yield begun


class _Look:
    """Looks at matches of one text; what stands around a place is worked out once."""

    __slots__ = ("_around", "_before", "_found", "_low", "_plain")

    def __init__(self, plain: str, low: str, found: list[Match]) -> None:
        self._plain = plain
        self._low = low
        self._found = found
        self._around: dict[tuple[int, int], Said] = {}
        self._before: dict[int, Said] = {}

    def at(self, one: Recogniser, match: re.Match[str]) -> None:
        start, end = match.span()
        if not self._stands_alone(one, start, end):
            return
        if one.labelled and one.kind not in self._said(start, end).nearest:
            return
        grade = one.check(match.group())
        if grade:
            sure = graded(one, grade, self._said(start, end))
            if sure >= _LEAST:
                self._found.append(Match(start, end, one.kind, sure))

    def _said(self, start: int, end: int) -> Said:
        said = self._around.get((start, end))
        if said is None:
            before = self._before.get(start)
            if before is None:
                before = self._before[start] = said_before(self._low, start)
            said = self._around[start, end] = with_after(before, self._low, end)
        return said

    def _stands_alone(self, one: Recogniser, start: int, end: int) -> bool:
        plain = self._plain
        ending = _FREE_END if one.apart else _OPEN_END if one.open_end else _END
        if ending.match(plain, end) is None:
            return False
        before = plain[start - 1 : start]
        if before and before in "-_" and plain[start - 2 : start - 1].isalnum():
            return False
        return not (one.apart and _in_row(plain, start, end))


def _in_row(plain: str, start: int, end: int) -> bool:
    """Whether more digits stand beside it, so that it is a part of a longer row."""
    before = start > 1 and plain[start - 1] == " " and plain[start - 2].isdigit()
    return before or plain[end : end + 2].strip().isdigit()


def graded(one: Recogniser, grade: float, said: Said) -> float:
    """How sure a match is, from what is true of it and what stands around it."""
    if grade >= 0.5:
        if one.kind in said.kinds:
            return min(0.99, max(grade + 0.1, _LABELLED) if one.kind in said.nearest else grade + 0.04)
        if said.nearest:
            return min(max(0.5, grade - 0.15), 0.78)
        return grade * 0.4 if said.other and grade < _FIRM else grade
    if one.kind in said.nearest and (said.close or not one.close):
        return 0.6 + grade / 2
    return grade


def _ibans(plain: str, low: str) -> Iterator[Match]:
    for found in _IBAN.finditer(plain):
        length = IBAN_LENGTHS.get(found.group(1).upper(), 0)
        end = _after_signs(plain, found.start(), length) if length else 0
        if not end or plain[end : end + 1].isalnum():
            continue
        sure = iban(bare(plain[found.start() : end]))
        if sure < 0.5 and "IBAN" in said_around(low, found.start(), end).kinds:
            sure = 0.7
        yield Match(found.start(), end, "IBAN", sure)


def _after_signs(plain: str, start: int, count: int) -> int:
    """Where so many letters and digits end; 0 where they do not come."""
    for at in range(start, min(len(plain), start + 2 * count)):
        if plain[at].isalnum():
            count -= 1
            if not count:
                return at + 1
        elif plain[at] not in " -":
            return 0
    return 0
