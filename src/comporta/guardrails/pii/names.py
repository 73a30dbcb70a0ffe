"""Names of people, from what stands around them: «my name is …», titles, greetings, fields; and from given names.

What a text says of a name is far surer than the name itself: a given name with another word in capitals behind it is
told at a confidence below the usual threshold.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from comporta.guardrails.base import Match

Find = Callable[[str, str], Iterator[Match]]

_UP = "A-ZÀ-ÖØ-Þ"
_WORD = rf"(?:(?:Mc|Mac|O'|D'|d')?[{_UP}][\w'-]*\w\.?|[{_UP}]\.)"
_SMALL = r"(?:de|da|do|das|dos|del|la|las|los|di|van|von|der|den|ter|e|y|bin|al)"
_NAME = rf"(?P<name>{_WORD}(?: (?:{_SMALL} ){{0,2}}{_WORD}){{0,4}})"
_SAYING = (
    r"my (?:full )?name is|my name's|meu nome(?: completo)? é|o meu nome é|me chamo|chamo-me|me llamo|mi nombre"
    r"(?: completo)? es|seu nome é|su nombre es|(?:his|her|your) name is|o nome d(?:ele|ela) é|se llama|se chama"
)
_WEAK_SAYING = r"i am|i'm|this is|sou (?:o|a)|eu sou|soy|aqui é (?:o|a)|aqui quem fala é (?:o|a)|falo com (?:o|a)|habla"
_TITLES = r"Sr|Sra|Srta|Sres|Dr|Dra|Mr|Mrs|Ms|Miss|Prof|Profa|Doña|Dona|Señor|Señora|Senhor|Senhora|Seu"
_GREETING = r"dear|prezad[oa]|car[oa]|estimad[oa]|querid[oa]|olá|oi|hola|hello|hi|hey|bom dia|buenos días|boa tarde"
_FIELDS = (
    r"nome completo|nome|nombre completo|nombre|nombre y apellidos|full name|name|paciente|patient|titular|cardholder"
    r"|account holder|beneficiário|beneficiario|beneficiary|remetente|destinatário|destinatario|funcionári[oa]|empleado"
    r"|employee|cliente|customer|client|assinado|firmado|signed|contato|contacto|contact|responsável|responsable"
)
_PEOPLE = (
    r"paciente|patient|cliente|customer|client|employee|funcionári[oa]|emplead[oa]|colaborador[a]?|alun[oa]|alumn[oa]"
    r"|student|titular|tenant|inquilin[oa]|candidat[oae]"
)
_KIN = (
    r"(?:my|meu|minha|mi) (?:wife|husband|son|daughter|brother|sister|mother|father|friend|boss|colleague|neighbou?r"
    r"|marido|esposa|esposo|filh[oa]|irmã|irmão|mãe|pai|amig[oa]|chefe|vizinh[oa]|colega|hij[oa]|herman[oa]|madre|padre"
    r"|mamá|papá|jef[ea]|vecin[oa])"
)
_CLOSING = (
    r"atenciosamente|att|abraços?|cordialmente|grat[oa]|obrigad[oa]|saludos(?: cordiales)?|un saludo|atentamente"
    r"|gracias|(?:best|kind|warm)? ?regards|sincerely|yours truly|thanks|cheers|best"
)
PAIR_HINT = r"\p{Lu}\pL+ \p{Lu}\pL"
_STRONG = re.compile(rf"(?<!\w)(?i:{_SAYING}) ?:? {_NAME}")
_WEAK = re.compile(rf"(?<!\w)(?i:{_WEAK_SAYING}) {_NAME}")
_TITLED = re.compile(rf"(?<!\w)(?<!Nossa )(?<!Nuestra )(?:{_TITLES})\.? {_NAME}")
_GREETED = re.compile(rf"(?:^|\n|[.!?] )(?i:{_GREETING}),? {_NAME}(?= ?[,!:\n]|$)")
_FIELD = re.compile(rf"(?<!\w)(?i:{_FIELDS}) ?[:=] ?{_NAME}")
_PERSON = re.compile(rf"(?<!\w)(?i:{_PEOPLE}|{_KIN}),? {_NAME}")
_CLOSED = re.compile(rf"(?:^|\n)(?i:{_CLOSING})[,.!]? ?\n\s{{0,4}}{_NAME}(?=\s*(?:\n|$))")
_PAIR = re.compile(rf"(?<!\w){_NAME}")

#: Words in capitals behind such words that are nobody's name.
_NOBODY_WORDS = """
all sir madam team customer support everyone friend friends folks there sirs doctor hiring manager user users todos
todas equipe equipa equipo cliente clientes senhor senhora senhores señor señora señores amigo amiga amigos time
pessoal gente atendimento suporte soporte i it he she we they you the a an not is o os as el la los las um uma un una
brazilian american spanish english portuguese mexican argentinian catholic christian muslim jewish german french
italian chinese indian canadian british european african asian brasileiro brasileira español española mexicano
ingeniero ceo cto cfo monday tuesday wednesday thursday friday saturday sunday january february march april june july
august september october november december python java javascript ai gpt chatgpt claude linux windows mac ok se si no
yes sim não que como what how why when where who please por para com con of and or pm am api http https world google
amazon microsoft apple brasil brazil españa spain méxico mexico portugal lisboa madrid london paris deus dios god
jesus america europe europa pepper robot alexa siri
"""
_NOBODY = frozenset(_NOBODY_WORDS.split())
_GIVEN_WORDS = """
ana maria maría joão joao josé jose antônio antonio francisco carlos paulo pedro lucas luiz luis luís marcos rafael
gabriel felipe bruno eduardo rodrigo fernando gustavo guilherme marcelo ricardo thiago tiago leonardo daniel diego
juliana fernanda patrícia patricia aline camila amanda bruna jéssica letícia leticia julia júlia luciana vanessa
mariana gabriela beatriz larissa rafaela isabela carolina renata adriana márcia marcia cláudia claudia sandra simone
sônia rosa helena alice laura sofia sofía manuela luísa luisa clara inês rita teresa cristina miguel joaquim vasco
nuno rui jorge hugo andré andrea mateus matheus vitor víctor caio henrique otávio sérgio sergio roberto fábio juan
javier manuel alejandro pablo álvaro alvaro adrián adrian sergio jesús raúl raul rubén iván ivan ignacio gonzalo
carmen isabel dolores pilar lucía lucia marta elena paula cristina raquel silvia rocío alba irene nuria mónica
guadalupe ximena valeria daniela valentina camilo santiago mateo sebastián sebastian nicolás nicolas emilio john james
robert michael william david richard joseph thomas charles christopher matthew anthony mark donald steven andrew
joshua kevin brian edward ronald timothy jason jeffrey ryan jacob gary nicholas eric jonathan stephen larry justin
scott brandon benjamin samuel gregory frank alexander patrick raymond jack dennis jerry tyler aaron peter mary
jennifer linda elizabeth barbara susan jessica sarah karen lisa nancy betty margaret ashley kimberly emily donna
michelle carol melissa deborah stephanie rebecca sharon laura cynthia kathleen amy angela shirley anna emma olivia
sophia isabella charlotte mia amelia harper evelyn abigail hannah rachel samantha katherine christine
"""
_GIVEN = frozenset(_GIVEN_WORDS.split())


def _reading(pattern: re.Pattern[str], sure: float, alone: bool = True) -> Find:
    """Finds what a pattern calls a name; where it may not stand `alone`, only with a known given name or a surname."""

    def find(plain: str, low: str) -> Iterator[Match]:
        for found in pattern.finditer(plain):
            words = found["name"].lower().split()
            if words[0].strip(".") in _NOBODY or (len(words[0]) < 3 and len(words) < 2):
                continue
            if alone or words[0] in _GIVEN or (pattern is _PERSON and len(words) > 1):
                yield _match(found, found["name"], sure)

    return find


#: What may be there, in RE2's words, and what looks closer.
NAMES: tuple[tuple[str, Find], ...] = (
    (rf"(?i:{_SAYING}) ?:? \p{{Lu}}", _reading(_STRONG, 0.95)),
    (rf"(?:^|\PL)(?i:{_WEAK_SAYING}) \p{{Lu}}", _reading(_WEAK, 0.75, alone=False)),
    (rf"(?:^|\PL)(?:{_TITLES})\.? \p{{Lu}}", _reading(_TITLED, 0.85)),
    (rf"(?:^|\n|[.!?] )(?i:{_GREETING}),? \p{{Lu}}", _reading(_GREETED, 0.75)),
    (rf"(?:^|\PL)(?i:{_FIELDS}) ?[:=] ?\p{{Lu}}", _reading(_FIELD, 0.85)),
    (rf"(?:^|\PL)(?i:{_PEOPLE}|{_KIN}),? \p{{Lu}}", _reading(_PERSON, 0.7, alone=False)),
    (rf"(?:^|\n)(?i:{_CLOSING})[,.!]? ?\n", _reading(_CLOSED, 0.8)),
)


def pairs(plain: str, low: str) -> Iterator[Match]:
    """A given name and another word in capitals: a doubt, unless something around says more."""
    for found in _PAIR.finditer(plain):
        words = found["name"].split(" ")
        first = next((at for at, word in enumerate(words) if word.lower() in _GIVEN), len(words))
        if len(words) - first > 1 and words[-1].lower().strip(".") not in _NOBODY:
            start = found.start("name") + sum(len(word) + 1 for word in words[:first])
            yield Match(start, found.end("name"), "PERSON", 0.45)


def _match(found: re.Match[str], name: str, sure: float) -> Match:
    shown = name.rstrip(".").removesuffix("'s").removesuffix("'")
    return Match(found.start("name"), found.start("name") + len(shown), "PERSON", sure)
