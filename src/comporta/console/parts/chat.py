"""A conversation on the page: who said what, what was thought, which tools were called and what they gave."""

from __future__ import annotations

from collections.abc import Sequence

from comporta.console.messages import Piece, Said
from comporta.console.parts.components import Icon
from comporta.console.parts.pieces import badge, code
from comporta.console.parts.tags import tag
from comporta.console.view import View
from comporta.console.words import Texts, Words

TEXTS: Texts = {
    "system": ("System", "Sistema"),
    "user": ("User", "Usuário"),
    "assistant": ("Assistant", "Assistente"),
    "tool": ("Tool", "Ferramenta"),
    "thought": ("Thought", "Pensamento"),
    "result": ("result", "resultado"),
    "answer": ("Answer", "Resposta"),
    "long_system": ("System message, {n} characters", "Mensagem do sistema, {n} caracteres"),
}
#: A longer system message is folded: people come for what was said.
_FOLDED_CHARS = 400
_ROLES = ("system", "user", "assistant", "tool")


def chat(view: View, said: Sequence[Said]) -> None:
    """All of it, in order."""
    words = Words(view.t.language, TEXTS)
    with tag("div.chat"):
        for one in said:
            if one.pieces:
                _one(words, one)


def _one(words: Words, said: Said) -> None:
    role = said.role if said.role in _ROLES else "user"
    kind = "assistant.chat__one--reply" if said.reply else role
    length = sum(len(piece.text) for piece in said.pieces)
    with tag(f"div.chat__one.chat__one--{kind}"):
        if role == "system" and length > _FOLDED_CHARS:
            with tag("details.fold"):
                tag("summary", words("long_system", n=words.number(length)))
                _pieces(words, said.pieces)
            return
        with tag("div.chat__who"):
            tag("span", words("answer" if said.reply else role))
            if said.finish and said.finish != "stop":
                badge(said.finish, "warn" if said.finish in ("length", "content_filter") else "dim")
        _pieces(words, said.pieces)


def _pieces(words: Words, pieces: Sequence[Piece]) -> None:
    for piece in pieces:
        if piece.kind in ("call", "result"):
            _tool(words, piece)
        elif piece.kind == "note":
            code(piece.text, label=words("tool"))
        else:
            looks = {"think": ".think", "refusal": ".bad"}.get(piece.kind, "")
            tag(f"div.chat__text{looks}", piece.text)


def _tool(words: Words, piece: Piece) -> None:
    with tag("div.chat__tool"):
        with tag("div.chat__tool-head"):
            Icon("tool")
            tag("span", piece.name or words("result"))
            if piece.id:
                tag("span.muted", piece.id)
        if piece.text:
            code(piece.text, label=piece.name or words("result"))
