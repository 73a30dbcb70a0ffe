"""Blank space that says nothing, taken out of prose."""

from __future__ import annotations

import re

from comporta.text.optimizing.structure import stretches

_RUN = re.compile(r"[ \t\u00a0\u3000]{2,}|[\t\u00a0]")
_BREAK = re.compile(r"(\n[ \t\u00a0]*(?:\n[ \t\u00a0]*)+)")
_OPENING = re.compile(r"\A[ \t\u00a0]*\r?\n(?:[ \t\u00a0]*\r?\n)+")
#: What is quoted stays to the character: inline code, and words between quotation marks.
_QUOTED = re.compile(r"(`+[^`]*`+|\"[^\"]*\"|“[^”]*”|«[^»]*»|‘[^’]*’|„[^“”]*[“”])")


def collapsed(text: str) -> str:
    """The text with single spaces and at most one empty line in a row, outside code, quotes, data and tables.

    Indents stay, since lists and outlines live by them. Nothing is taken from the very ends of the text.
    """
    parts, after_kept = [], False
    for stretch in stretches(text):
        if stretch.kind == "prose":
            # What is kept ends with its line, so that one line end more is an empty line.
            said = _OPENING.sub("\n", stretch.text, count=1) if after_kept else stretch.text
            parts.append(_prose(said))
        else:
            parts.append(stretch.text)
        after_kept = stretch.kind == "kept"
    return "".join(parts)


def _prose(text: str) -> str:
    blocks = _BREAK.split(text.replace("\r\n", "\n"))
    # Between blocks stand their breaks: one empty line says what several do.
    return "".join(
        "\n\n" + _last_indent(part) if at % 2 else _block(part, ends=at + 1 == len(blocks))
        for at, part in enumerate(blocks)
    )


def _last_indent(breaks: str) -> str:
    return breaks.rpartition("\n")[2]


def _block(block: str, *, ends: bool) -> str:
    if block.count('"') % 2 or block.count("`") % 2 or block.count("“") != block.count("”"):
        # Where a quotation begins can't be told.
        return block
    pieces = _QUOTED.split(block)
    done = "".join(piece if at % 2 else _plain(piece, at == 0) for at, piece in enumerate(pieces))
    # What follows the text's end may be another part of the same message.
    return done if ends or len(pieces[-1].rstrip()) == len(pieces[-1]) else done.rstrip(" ")


def _plain(piece: str, first: bool) -> str:
    lines = piece.split("\n")
    done = []
    for at, line in enumerate(lines):
        body = line.lstrip(" \t") if at or first else line
        indent = line[: len(line) - len(body)]
        body = _RUN.sub(" ", body)
        done.append(indent + (body.rstrip(" ") if at < len(lines) - 1 else body))
    return "\n".join(done)
