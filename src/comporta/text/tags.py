"""Language tags (BCP-47): read, compared, and guessed from a text, down to `pt-BR` and `pt-PT` where it shows.

Forms follow RFC 5646, comparison the basic filtering of RFC 4647. Guesses rest on small words, spellings and scripts:
heuristics, good for a sentence and more.
"""

from __future__ import annotations

import re

from msgspec import Struct

from comporta.text.everyday import EVERYDAY
from comporta.text.language import guess_language

UNKNOWN = "und"
_TAG = re.compile(
    r"([a-z]{2,3}|[a-z]{5,8})(?:-([a-z]{4}))?(?:-([a-z]{2}|[0-9]{3}))?((?:-(?:[a-z0-9]{5,8}|[0-9][a-z0-9]{3}))*)",
    re.ASCII | re.IGNORECASE,
)
#: What people write for a tag.
_NAMES = {
    "english": "en", "inglês": "en", "inglés": "en", "portuguese": "pt", "português": "pt", "portugués": "pt",
    "brazilian portuguese": "pt-BR", "spanish": "es", "espanhol": "es", "español": "es", "french": "fr",
    "german": "de", "italian": "it", "dutch": "nl",
}  # fmt: skip
_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
_SCRIPTS = (
    ("ja", re.compile("[\u3040-\u30ff]")), ("ko", re.compile("[\uac00-\ud7af]")), ("zh", re.compile("[\u4e00-\u9fff]")),
    ("uk", re.compile("[іїєґ]")), ("ru", re.compile("[\u0400-\u04ff]")), ("ar", re.compile("[\u0600-\u06ff]")),
    ("he", re.compile("[\u0590-\u05ff]")), ("el", re.compile("[\u0370-\u03ff]")), ("hi", re.compile("[\u0900-\u097f]")),
    ("th", re.compile("[\u0e00-\u0e7f]")),
)  # fmt: skip
#: What only one of the two has: `ônibus`, `estou fazendo`, `contato`; `autocarro`, `estou a fazer`, `contacto`.
_BRAZIL = re.compile(
    r"\w[ôê][mn][aeiou]|\b(?:est(?:ou|á|ão|amos|ava)|v(?:ou|ai) estar) \w{2,}ndo\b|\ba gente\b|\bvocês?\b"
    r"|\b(?:celular|ônibus|trem|tela|usuári[oa]s?|arquivos?|cadastro|cadastrar|aplicativos?|equipes?|contatos?|fatos?"
    r"|registros?|planejamento|geladeira|gerenciar|tchau|banheiro|senhas?|deletar|acessar|oi|legal|pra|né|boleto|cpf"
    r"|reais|salvar|time)\b"
)
_PORTUGAL = re.compile(
    r"\w[óé][mn](?:ic|io|ia|en|od)|\best(?:ou|á|ão|amos|ava) a \w+[aei]r(?:-\w+)?\b"
    r"|\b(?:telemóve(?:l|is)|autocarros?|comboios?|ecrã|utilizador(?:es)?|palavra-passe|ficheiros?|equipas?|contactos?"
    r"|contactar|facto|factura|registos?|registar|vos|vosso|vossa|vossos|vossas|convosco|connosco|pequeno-almoço"
    r"|frigorífico|aceder|descarregar|fixe|telemóvel|encomendas?|morada|euros|connosco|gerir|planeamento|tens|podes"
    r"|queres|contigo|descarregue|rececion\w+|receção|multibanco|nif)\b"
    r"|^(?:\W*)\w+-(?:lhe|lhes|me|nos|vos)\b"
)
_MOST_CHARACTERS = 2_000


class Tagged(Struct, frozen=True):
    """A guess: a BCP-47 tag (`und` where there is no telling), and how `sure` it is from 0 to 1."""

    tag: str
    sure: float


def read_tag(text: str) -> str:
    """A tag in its usual form: `pt_br` and `PT-BR` are `pt-BR`, `portuguese` is `pt`. Raises ValueError."""
    plain = text.strip()
    if plain.lower() in _NAMES:
        return _NAMES[plain.lower()]
    found = _TAG.fullmatch(plain.replace("_", "-"))
    if found is None:
        raise ValueError("is no language tag (BCP-47); write one such as en, pt-BR or es-419")
    language, script, region, variants = found.groups()
    parts = [language.lower(), (script or "").title(), (region or "").upper()]
    return "-".join(filter(None, parts)) + (variants or "").lower()


def primary(tag: str) -> str:
    """`pt` of `pt-BR`."""
    return tag.partition("-")[0]


def fits(wanted: str, found: str) -> bool:
    """Whether a text of tag `found` is what `wanted` asks for; `pt` takes `pt-BR`, and of `pt` nobody knows it isn't.

    `es-419` and `es-MX` fit each other: a group of regions says nothing against one of them.
    """
    if primary(wanted) != primary(found):
        return False
    regions = {part for tag in (wanted, found) for part in tag.split("-")[1:] if len(part) == 2 and part.isalpha()}
    return len(regions) < 2


def guess_tag(text: str) -> Tagged:
    """The language of a text; for Portuguese with its country where the spelling tells."""
    guess = guess_language(text)
    if guess.code == "pt" and guess.sure > 0:
        return Tagged(_country(text[:_MOST_CHARACTERS].lower()), guess.sure)
    if guess.code != "other" and guess.sure > 0:
        return Tagged(guess.code, guess.sure)
    return _another(text[:_MOST_CHARACTERS].lower())


def _country(text: str) -> str:
    brazil, portugal = len(_BRAZIL.findall(text)), len(_PORTUGAL.findall(text))
    return "pt" if brazil == portugal else "pt-BR" if brazil > portugal else "pt-PT"


def _another(text: str) -> Tagged:
    letters = [c for c in text if c.isalpha()]
    if not letters:
        return Tagged(UNKNOWN, 0.0)
    foreign = sum(c >= "\u0250" for c in letters) / len(letters)
    if foreign >= 0.3:
        script = next((tag for tag, known in _SCRIPTS if known.search(text)), UNKNOWN)
        return Tagged(script, 0.0 if script == UNKNOWN else round(foreign, 2))
    return _by_words(text)


def _by_words(text: str) -> Tagged:
    found = [word.replace("’", "'") for word in _WORD.findall(text)]
    counts = sorted(((sum(word in known for word in found), tag) for tag, known in EVERYDAY.items()), reverse=True)
    (most, tag), (second, _) = counts[:2]
    if most == second:
        return Tagged(UNKNOWN, 0.0)
    sure = (most - second) / most * min(1.0, most / max(1.0, 0.25 * len(found))) * most / (most + 1)
    return Tagged(tag, round(sure, 2))
