"""What attacks look like whatever their words: chat delimiters, forged turns, images that carry data out, hidden notes.

Each pattern adds to what the classifier says, as log odds: no pattern is proof, since people ask about them as well.
"""

from __future__ import annotations

import re2
from msgspec import Struct


class Technique(Struct, frozen=True):
    """A structure, the log odds it adds, and what a verdict calls it."""

    name: str
    pattern: re2._Regexp
    odds: float


def _seen(name: str, pattern: str, odds: float) -> Technique:
    return Technique(name, re2.compile(pattern), odds)


#: The plainest of all, said as an order of its own: in a question about it, or in quotes, it does not begin a sentence.
_DROP = (
    r"(?:^|[.!?\n]\s*)(?:please,? |now,? |por favor,? |agora,? |ahora,? )?(?:"
    r"(?:ignore|disregard|forget) (?:all |any |everything in )?(?:of )?(?:the |your |my |these |those )?"
    r"(?:previous|prior|above|earlier|preceding|system|initial|original) "
    r"(?:instruction|rule|prompt|direction|guideline|order)"
    r"|(?:ignore|desconsidere|esque[çc]a|despreze) (?:todas? )?(?:as |suas |tuas )?"
    r"(?:instru[çc][õo]es|regras|orienta[çc][õo]es|ordens|diretrizes) "
    r"(?:anteriores|acima|pr[ée]vias|iniciais|do sistema)"
    r"|(?:ignora|ignore|olvida|olvide|descarta) (?:todas )?(?:las |tus |sus )?"
    r"(?:instrucciones|reglas|[óo]rdenes|directrices|indicaciones) "
    r"(?:anteriores|previas|de arriba|iniciales|del sistema)"
    r")"
)

#: Over the text in lower case.
TECHNIQUES: tuple[Technique, ...] = (
    _seen("an order to drop the instructions", _DROP, 2.2),
    _seen("chat delimiters", r"<\|(?:im_start|im_end|system|user|assistant|endoftext|eot_id|start_header_id)\|>"
          r"|<</?sys>>|\[/?inst\]|</?(?:start|end)_of_turn>", 2.0),
    _seen("a forged system message",
          r"(?:^|\n)\s*(?:#{1,4} *|\[|<|\*\*)?(?:system|sistema|admin|developer)"
          r"(?: (?:message|prompt|override|update))?(?:\]|>|\*\*)? *[:>]\s*\S|\{\s*\"role\"\s*:\s*\"system\"", 1.2),
    _seen("a forged conversation",
          r"\n\s*(?:assistant|asistente|assistente|ai)\s*:[^\n]+\n\s*(?:user|human|usuario|usuário|utilizador|humano)\s*:",
          0.8),
    _seen("an end of the given text", r"(?:^|\n)\W{0,8}(?:end|fim|fin) (?:of|do|da|dos|del|de la|de los) "
          r"(?:the )?(?:user )?"
          r"(?:document|data|text|context|prompt|input|dados|texto|contexto|documento|datos|instru\w+)\b", 1.0),
    _seen("an image that carries data out",
          r"!\[[^\]]{0,80}\]\(\s*https?://[^\s)]+[?&/=](?:[^\s)]*=)?\s*[{<\[$%]", 3.5),
    _seen("a hidden note", r"<!--[^>]{0,200}\b(?:ai|llm|assistant|model|ignore|instruction\w*|ia|asistente|assistente"
          r"|ignora|ignore|instru[cç]\w+)\b|style\s*=\s*[\"'][^\"']*(?:display:\s*none|font-size:\s*0|color:\s*white)",
          1.5),
)  # fmt: skip
#: Whether any may be found, in one pass: nearly no text has one of these signs.
_HINT = re2.compile(r"<\||<<|\[/?inst\]|_of_turn>|system|sistema|admin|developer|!\[|<!--|style|assistant|asistente"
                    r"|assistente|\"role\"|\nai|end of|fim d|fin de|ignor|disregard|forget|esque|olvid"
                    r"|despre|descon|descart")  # fmt: skip


def seen(low: str) -> tuple[float, tuple[str, ...]]:
    """The log odds that a text's structure adds, and the names of what was found. `low` is in lower case."""
    if not _HINT.search(low):
        return 0.0, ()
    found = [one for one in TECHNIQUES if one.pattern.search(low)]
    return sum(one.odds for one in found), tuple(one.name for one in found)
