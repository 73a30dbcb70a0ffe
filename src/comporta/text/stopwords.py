"""The small words that every text of a language is full of: what languages are told apart by, and what means little."""

from __future__ import annotations

import unicodedata


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


ENGLISH = _set(
    """the of and to in is it you that he was for on are with as his they be at this have from or had by not but what
    all were we when your can said there use an each which she do how their if will up other about out many then them
    these so some her would make like him into has more two go see no way could my than been who its now did get may
    i me our us don't i'm it's where why does am over only just also any after should because whose very here"""
)
PORTUGUESE = _set(
    """de a o que e do da em um para é com não uma os no se na por mais as dos como mas foi ao ele das tem à seu sua ou
    ser quando muito há nos já está eu também só pelo pela até isso ela entre era depois sem mesmo aos ter seus quem
    nas me esse eles estão você tinha foram essa num nem suas meu às minha têm numa pelos elas havia seja qual será nós
    tenho lhe deles essas esses pelas este fosse dele isto aquilo onde porque são sobre então vai fazer quais
    quanto quantos estou obrigado olá bom"""
)
SPANISH = _set(
    """de la que el en y a los del se las por un para con no una su al lo como más pero sus le ya o este sí porque esta
    entre cuando muy sin sobre también me hasta hay donde quien desde todo nos durante todos uno les ni contra otros
    ese eso ante ellos e esto mí antes algunos qué unos yo otro otras otra él tanto esa estos mucho quienes nada muchos
    cual poco ella estar estas algunas algo nosotros mi mis tú te ti tu tus es son fue ha está cuál cómo dónde cuándo
    cuánto quién soy eres hola gracias según usted puedo hacer tiene"""
)
#: Words of neighbours that share the alphabet (French, German, Italian, Dutch): evidence that it is none of the three.
NEIGHBOURS = _set(
    """le les des est et dans une qui pas sur avec sont pour vous nous c'est j'ai mais où quelle quel comment votre aux
    der und ist nicht ich sie wir ein eine mit auf für den dem zu auch sich wie wird war oder aber wo welche haben
    il che di è non per sono gli della del nel alla più anche questo come ho quale dove quanto
    het een van niet zijn dat voor maar wat ook naar waar hoe ik je"""
)


def _plain(words: frozenset[str]) -> set[str]:
    return {"".join(c for c in unicodedata.normalize("NFD", w) if not unicodedata.combining(c)) for w in words}


#: All of them, without accents.
STOP_WORDS = frozenset(_plain(ENGLISH | PORTUGUESE | SPANISH))
