"""Words that mean little in a question, words that deny, and words that tell of trouble."""

from __future__ import annotations

import re

from comporta.text.normal import without_accents
from comporta.text.stopwords import PORTUGUESE, SPANISH


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_ENGLISH = _set(
    """a able about actually again all already also am an and any anybody anyone anything are around as ask at away be
    because been but by can case could currently day dear did do does done during each else etc ever everybody
    everyone exactly exist find for from get go got happen has have having he hello help her here hey hi him his how
    i i'd i'm if in into is it its itself just kindly know let like look make many matter may maybe me might mine
    much must my my's myself need now of ok okay on one only onto or other our ours own per person place please
    possible procedure process question quite really reason said same see shall she should so some somebody someone
    something step stuff such take tell than thank thanks that the their them themselves then there these they thing
    this through time to too upon us use various very via vs want way we were what when where which while who whom
    whose why will wish with wonder wondering would yet you your yours yourself"""
)
NEGATIONS = frozenset(("not", "no", "never", "without", "none", "nobody", "neither", "nor", "nothing", "nowhere", "nao",
                       "nunca", "sem", "nenhum", "nenhuma", "ninguem", "jamais", "nem", "sin", "ningun", "ninguno",
                       "ninguna", "nadie", "jamas", "ni", "tampoco"))  # fmt: skip
TROUBLES = frozenset(("fail", "problem", "error", "trouble", "stuck", "decline", "lose", "forget", "damage", "wrong"))
#: Small words that tell questions apart.
_TELLING = _set(
    "mas mais sin sem con com antes depois despues nunca todo todos tudo no nao ninguno nada desde hasta ate"
)
#: By language; a word of none is compared.
SMALL = {
    "en": _ENGLISH,
    "pt": frozenset(without_accents(word) for word in PORTUGUESE) - _TELLING,
    "es": frozenset(without_accents(word) for word in SPANISH) - _TELLING,
}
#: What is to be done with a thing: who wants one of it does not want another.
ACTIONS = _set(
    """add apply archive attach avoid block boil book borrow cancel cause change charge choose claim clean close
    collect compare complain compress configure connect contact convert cook copy create cure damage decline
    decrease decrypt delete deliver deploy deposit disable disconnect dispute downgrade download earn enable encrypt
    exchange explain export extend fail filter finish fire fix follow forget forward freeze grow hide hire import
    improve increase install invest invite join learn leave lock login logout lose measure merge move mute open
    order pause pay pick prepare prevent print quit rate read receive recommend record recover redeem refund
    register remember remove rename renew rent repair replace reply report reschedule reset resign restart restore
    return review revoke rollback rotate save scan search sell send set share sign sort spend split start steal stop
    store submit subscribe teach track transfer translate treat unblock uninstall unlock unsubscribe update upgrade
    upload verify withdraw write"""
)
#: Negations that deny nothing.
_IDLE = re.compile(
    r"\b(?:why (?:not|don['’]?t (?:you|we|i))|(?:or|if|whether or|why) not\b|not only|no idea|no matter"
    r"|(?:do not|don['’]?t) (?:know|understand|see) (?:how|what|where|whether|if|why|which|who)\b"
    r"|(?:isn|aren|doesn|don|won|wouldn|can)['’]?t (?:it|you|they|there)\?"
    r"|no problem|no doubt)\b"
)
_NOT_WANTED = re.compile(r"\b(?:do not|don['’]?t|no longer|not) want\b(?: to (?:get|have|receive|see))?")


def without_idle_negation(text: str) -> str:
    """A text in small letters without negations that deny nothing; what is not wanted, as what should stop."""
    return _NOT_WANTED.sub("stop", _IDLE.sub(" ", text))
