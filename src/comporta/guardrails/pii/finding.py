"""Finds personal data in a text: one automaton says what may be there, and only that is looked at closer."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Sequence

import re2

from comporta.guardrails.base import Match
from comporta.guardrails.looking import Text
from comporta.guardrails.pii.checks import IBAN_LENGTHS, bare, iban
from comporta.guardrails.pii.emails import AT_HINT, emails
from comporta.guardrails.pii.labels import Said, said_around
from comporta.guardrails.pii.names import NAME_HINT, names
from comporta.guardrails.pii.recognisers import Recogniser, table
from comporta.guardrails.pii.streets import STREET_HINT, addresses
from comporta.guardrails.secret.assigned import ASSIGNED_HINT, assigned

Find = Callable[[str, str], Iterable[Match]]

#: Where a number may begin: at a word's start, with digits at it or close behind.
_START = re.compile(r"(?<!\w)(?=[+(]{0,2} ?[A-Za-zÑñ&]{0,6}[0-9A-Z]{0,3}[ .-]?\(?[0-9]|[0-9A-Z]{2}\.[0-9A-Z]{3}\.|[^\W\d_]{3,10}\.? [0-9]|(?i:[0-9a-f]{1,4}:|[0-9a-f]{2}-[0-9a-f]{2}-))")
_BEFORE = re.compile(r"(?<![0-9][./:-])(?<!\w[-_])")
_END = re.compile(r"(?!\w)(?![./:-][0-9])(?!-\w)")
_FREE_END = re.compile(r"(?!\w)(?![./:-][0-9])")
_OPEN_END = re.compile(r"(?!\w)(?![./-][0-9])(?!-\w)")
_IBAN = re.compile(r"(?<!\w)([A-Za-z]{2})[0-9]{2}(?:[ -]?[0-9A-Za-z]){11,33}")
_IBAN_HINT = r"[A-Za-z]{2}[0-9]{2}(?:[ -]?[0-9A-Za-z]){11}"
#: Digits one by one, as people write them who do not want to be found.
_SPACED = re.compile(r"(?<!\w)[0-9](?: [0-9]){8,18}(?! ?\w)")
_SPACED_HINT = r"[0-9](?: [0-9]){8}"
_SPACED_KINDS = ("CPF", "CNPJ", "CARD_NUMBER", "SSN", "PHONE", "PIS")
_DEAR = 0.9


class Finder:
    """Finds kinds of personal data. `kinds`: those wanted; `regions`: whose national numbers are known."""

    def __init__(self, kinds: Collection[str], regions: Sequence[str]) -> None:
        self._kinds = frozenset(kinds)
        self._rows = tuple((one, re.compile(one.core)) for one in table(regions) if one.kind in self._kinds)
        self._words = tuple(self._finders())
        options = re2.Options()
        options.max_mem = 64 << 20
        self._hints = re2.Set.SearchSet(options)
        for one, _ in self._rows:
            self._hints.Add(one.core)
        for hint, _ in self._words:
            self._hints.Add(hint)
        self._hints.Compile()

    def _finders(self) -> Iterable[tuple[str, Find]]:
        every: tuple[tuple[set[str], str, Find], ...] = (
            ({"EMAIL"}, AT_HINT, emails),
            ({"IBAN"}, _IBAN_HINT, _ibans),
            ({"ADDRESS"}, STREET_HINT, addresses),
            ({"PERSON"}, NAME_HINT, names),
            ({"PASSWORD", "API_KEY", "TOKEN"}, ASSIGNED_HINT, assigned),
            (set(_SPACED_KINDS), _SPACED_HINT, self._spaced),
        )
        return ((hint, find) for kinds, hint, find in every if kinds & self._kinds)

    def find(self, text: Text, least: float) -> list[Match]:
        """What is in a text from a confidence on: disjoint, in order, in places of the text as it came."""
        plain = text.plain
        hits = self._hints.Match(plain)
        if not hits:
            return []
        low, count = text.low, len(self._rows)
        found = [m for hit in hits if hit >= count for m in self._words[hit - count][1](plain, low)]
        rows = [self._rows[hit] for hit in hits if hit < count]
        if rows:
            found += _numbers(rows, plain, low)
        some = [m for m in found if m.confidence >= least and m.kind in self._kinds]
        return [Match(*text.at(m.start, m.end), m.kind, m.confidence) for m in chosen(some)] if some else []

    def _spaced(self, plain: str, low: str) -> Iterable[Match]:
        for found in _SPACED.finditer(plain):
            said = said_around(low, found.start(), found.end())
            number = found.group().replace(" ", "")
            for one, pattern in self._rows:
                if one.kind in _SPACED_KINDS and pattern.fullmatch(number):
                    grade = one.check(number)
                    sure = graded(one, grade if one.kind != "PIS" else min(grade, 0.4), said)
                    yield Match(found.start(), found.end(), one.kind, sure)


def chosen(found: Sequence[Match]) -> list[Match]:
    """Of what overlaps the surest, else the longest; in the order of the text."""
    kept: list[Match] = []
    for match in sorted(found, key=lambda m: (-m.confidence, m.start - m.end, m.start)):
        if all(match.end <= other.start or match.start >= other.end for other in kept):
            kept.append(match)
    return sorted(kept)


def _numbers(rows: Sequence[tuple[Recogniser, re.Pattern[str]]], plain: str, low: str) -> Iterable[Match]:
    around: dict[tuple[int, int], Said] = {}
    for begun in _START.finditer(plain):
        start = begun.start()
        if _BEFORE.match(plain, start) is None:
            continue
        for one, pattern in rows:
            found = pattern.match(plain, start)
            end = found.end() if found is not None else 0
            if found is None or not _ends(one, plain, end) or (one.apart and _in_row(plain, start, end)):
                continue
            text = found.group()
            grade = one.check(text)
            if grade == 0.0:
                continue
            said = around.get((start, end))
            if said is None:
                said = around[start, end] = said_around(low, start, end)
            sure = graded(one, grade, said)
            if sure >= 0.3:
                yield Match(start, end, one.kind, sure)


def _in_row(plain: str, start: int, end: int) -> bool:
    """Whether more digits stand beside it, so that it is a part of a longer row."""
    return (start > 1 and plain[start - 1] == " " and plain[start - 2].isdigit()) or plain[end : end + 2].strip().isdigit()


def _ends(one: Recogniser, plain: str, end: int) -> bool:
    return (_FREE_END if one.apart else _OPEN_END if one.open_end else _END).match(plain, end) is not None


def graded(one: Recogniser, grade: float, said: Said) -> float:
    """How sure a match is, from what is true of it and what stands around it."""
    if grade >= 0.5:
        if one.kind in said.kinds:
            return min(0.99, grade + (0.1 if one.kind in said.nearest else 0.04))
        if said.nearest:
            return min(max(0.5, grade - 0.15), 0.78)
        return grade * 0.4 if said.other and grade < _DEAR else grade
    if one.kind in said.nearest and (said.close or not one.close):
        return 0.6 + grade / 2
    return grade


def _ibans(plain: str, low: str) -> Iterable[Match]:
    for found in _IBAN.finditer(plain):
        length = int(IBAN_LENGTHS.get(found.group(1).upper(), "0"))
        end = _after_signs(plain, found.start(), length) if length else 0
        if not end or plain[end : end + 1].isalnum():
            continue
        sure = iban(bare(plain[found.start() : end]))
        if sure < 0.5:
            said = said_around(low, found.start(), end)
            sure = 0.7 if "IBAN" in said.kinds else sure
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
