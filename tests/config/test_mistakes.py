"""Every kind of bad configuration is told with file, path and line, and no secret is ever repeated."""

from __future__ import annotations

from pathlib import Path

import pytest

from comporta.config.loading import Loaded, load
from comporta.config.mistakes import refusal
from comporta.errors import ConfigError
from support.settings import Settings, said, write

SECRET = "sk-planted-0123456789"


def mistakes(folder: Path, text: str, environment: dict[str, str] | None = None) -> list[str]:
    path = write(folder, text)
    with pytest.raises(ConfigError) as caught:
        load(Settings, path, environment or {})
    return said(caught.value, folder)


def loaded(folder: Path, text: str, environment: dict[str, str] | None = None) -> Loaded[Settings]:
    return load(Settings, write(folder, text), environment or {})


# ---- what is wrong, of every kind -----------------------------------------------------------------------------------

#: What it is, what is said (after the file's name), and the file.
BAD: list[tuple[str, str, str | bytes]] = [
    ("unknown key", "3: routes.a.variants[0].wieght: unknown key; did you mean 'weight'?",
     "routes:\n  a: {variants: [{model: m,\n    wieght: 1}]}"),
    ("unknown key with nothing near", "2: server.zzz: unknown key; known here: host, port, max_body, idle",
     "server:\n  zzz: 1"),
    ("key of a later issue", "1: prompt_registry: unknown key", "prompt_registry: {prompts: []}"),
    ("other spelling", "1: server.max-body: unknown key; did you mean 'max_body'?", "server: {max-body: 1}"),
    ("wrong word", "2: routes.a.capture: must be 'full', 'preview', 'hashed' or 'off'; did you mean 'full'?",
     "routes: {a: {variants: [{model: m}],\n  capture: ful}}"),
    ("missing key", "3: routes.a.variants[0].model: is required but missing",
     "routes:\n  a: {variants: [\n  {weight: 1}]}"),
    ("number", "2: server.port: must be a whole number", "server:\n  port: many"),
    ("half number", "1: server.port: must be a whole number", "server: {port: 1.5}"),
    ("bound", "1: server.port: must be less than or equal to 65535", "server: {port: 99999}"),
    ("truth value", "1: server.debug: must be true or false", "server: {debug: perhaps}"),
    ("duration", "1: server.idle: must be a duration such as", "server: {idle: 2x}"),
    ("duration bound", "1: server.idle: must be greater than 0", "server: {idle: 0s}"),
    ("size", "1: server.max_body: must be a size such as", "server: {max_body: big}"),
    ("money", "1: limit: is finer than a millionth of a dollar", "limit: $0.0000001"),
    ("share", "1: sample: is more than the whole", "sample: 5"),
    ("empty", "1: server.port: is empty; it must be a whole number", "server: {port: }"),
    ("null", "1: server: is empty; it must be a mapping", "server: null"),
    ("infinity", "1: routes.a.variants[0].weight: must be a finite number",
     "routes: {a: {variants: [{model: m, weight: .inf}]}}"),
    ("list for mapping", "2: routes: must be a mapping (lines of key: value)", "\nroutes: [a]"),
    ("mapping for list", "1: routes.a.variants: must be a list", "routes: {a: {variants: {x: 1}}}"),
    ("list for text", "1: server.host: must be text", "server: {host: [a]}"),
    ("too short a list", "1: routes.a.variants: must have at least 1 item, not 0", "routes: {a: {variants: []}}"),
    ("odd path", '1: routes["gpt-4.1 x"].variants: is required but missing', "routes: {gpt-4.1 x: {}}"),
    ("either", "1: either: must be a whole number or a list", "either: x"),
    ("either, deeper", "1: either[1]: must be a whole number", "either: [1, x]"),
    ("one of two parts", "1: choice.wieght: unknown key; did you mean 'weight'?", "choice: {model: m, wieght: 1}"),
    ("type of part", "2: providers.p: type must be 'plain', 'cloud'; did you mean 'cloud'?",
     "providers:\n  p: {type: clod}"),
    ("no type of part", "1: providers.p: needs the key 'type'", "providers: {p: {region: x}}"),
    ("within a type of part", "1: providers.p.regoin: unknown key; did you mean 'region'?",
     "providers: {p: {type: cloud, region: x, regoin: y}}"),
    ("a room's own check", "1: even: 3 is odd", "even: 3"),
    ("duplicate key", "4: server.port: duplicate key; it stands on line 2 already",
     "server:\n  port: 1\n  host: h\n  port: 2"),
    ("duplicate key at the top", "3: even: duplicate key; it stands on line 1 already", "even: 2\nversion: x\neven: 2"),
    ("syntax", "2: is not valid YAML: ", "server: {port: 1\nx: ["),
    ("tab", "2: is not valid YAML: a tab is used for indentation; YAML wants spaces", "server:\n\tport: 1"),
    ("at sign", "1: is not valid YAML: a value can't begin with @; put it in quotes (column 10)", "version: @x"),
    ("unquoted variable", "1: is not valid YAML: inside [ ] and { } a ${…} must stand in quotes", "keys: [${A}]"),
    ("unknown alias", "1: admin: refers to an anchor (&…) that isn't complete before it", "admin: *hunter2"),
    ("alias of itself", "1: either[0]: refers to an anchor (&…) that isn't complete before it", "either: &a [*a]"),
    ("tag", "1: version: has a YAML tag (!…) that can't be used here", "version: !!python/object:os.system x"),
    ("tag on a mapping", "1: server: has a YAML tag (!…) that can't be used here", "server: !thing {port: 1}"),
    ("wrong int tag", "1: version: has a YAML tag (!…) that can't be used here", "version: !!int x"),
    ("list as key", "1: a key must be a single word or text", "? [a]\n: 1"),
    ("merge of a word", "1: server: << must be followed by an alias of a mapping", "server: {<<: x}"),
    ("two documents", "2: holds a second document (---); only one is read", "even: 2\n---\neven: 4"),
    ("list at the top", "1: must be a mapping (lines of key: value) at its top", "- a"),
    ("word at the top", "1: must be a mapping (lines of key: value) at its top", "hello"),
    ("NUL", "2: holds the control character U+0000", b"even: 2\nversion: a\x00b"),
    ("control character", "1: holds the control character U+001B", "version: \x1b[0m"),
    ("not UTF-8", "2: is not UTF-8 text; save it in UTF-8", "even: 2\nversion: é".encode("latin-1")),
    ("UTF-16", "1: is not UTF-8 text; save it in UTF-8", "even: 2".encode("utf-16")),
    ("too large", " is larger than 1,000,000 bytes", "#" * 1_000_001),
    ("too deep", "1: is nested more than 100 levels deep", "either: " + "[" * 5000),
    ("too many values", "1: holds more than 100,000 values", "either: [" + "1," * 110_000 + "]"),
    ("endless digits", "1: server.port: must be a whole number", "server: {port: " + "9" * 5000 + "}"),
]  # fmt: skip


@pytest.mark.parametrize(("says", "text"), [entry[1:] for entry in BAD], ids=[entry[0] for entry in BAD])
def test_a_bad_configuration_is_told_with_file_path_and_line(tmp_path: Path, says: str, text: str | bytes) -> None:
    path = tmp_path / "comporta.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError) as caught:
        load(Settings, path, {"A": "a"})
    lines = said(caught.value, tmp_path)
    assert [line for line in lines if line.startswith(f"comporta.yaml:{says}")], lines
    assert len(lines) == 1, lines


@pytest.mark.parametrize("levels", [12, 40])
def test_a_yaml_bomb_is_refused_at_once(tmp_path: Path, levels: int) -> None:
    text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    text += "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, levels))
    [line] = mistakes(tmp_path, text)
    assert "comes to more than 100,000 values once its aliases (*…) are spelled out" in line


def test_a_chain_of_aliases_can_not_go_too_deep(tmp_path: Path) -> None:
    text = "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}]\n" for i in range(1, 200))
    assert "levels deep once its aliases" in mistakes(tmp_path, text)[0]


def test_many_merges_of_a_large_mapping_are_refused(tmp_path: Path) -> None:
    text = "base: &b {" + ", ".join(f"k{i}: 1" for i in range(2000)) + "}\n"
    text += "server:\n" + "  <<: *b\n" * 500
    assert any("holds more than 100,000 values" in line for line in mistakes(tmp_path, text))


def test_every_mistake_is_told_at_once_and_in_order(tmp_path: Path) -> None:
    write(tmp_path, "= nonsense\n", ".env")
    lines = mistakes(tmp_path, "server: {port: x}\nversion: ${NO}\neven: 3\nevne: 1\neven: 5\n")
    assert [line.split(": ")[0] for line in lines] == [".env:1", *(f"comporta.yaml:{n}" for n in (1, 2, 4, 5, 5))]


def test_broken_files_are_both_told(tmp_path: Path) -> None:
    write(tmp_path, "b: [", "comporta.x.yaml")
    lines = mistakes(tmp_path, "a: {", {"COMPORTA_ENV": "x"})
    assert [line.split(":")[0] for line in lines] == ["comporta.yaml", "comporta.x.yaml"]


def test_a_flood_of_mistakes_is_cut(tmp_path: Path) -> None:
    lines = mistakes(tmp_path, "".join(f"key{i}: 1\n" for i in range(5000)))
    assert len(lines) == 101
    assert lines[-1].startswith("… and ")


def test_a_missing_file_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.yaml: can't be read: No such file"):
        load(Settings, tmp_path / "nowhere.yaml", {})
    with pytest.raises(ConfigError, match="is not a regular file"):
        load(Settings, tmp_path, {})
    with pytest.raises(ConfigError, match="not a possible file name"):
        load(Settings, tmp_path / "a\0b", {})


def test_a_mistake_found_later_has_the_same_form(tmp_path: Path) -> None:
    found = loaded(tmp_path, f"routes:\n  a:\n    variants: [{{model: {SECRET}}}]\nadmin: {SECRET}\n")
    line = found.mistake(("routes", "a", "variants", 0, "model"), f"there is no provider {SECRET}")
    error = refusal([line, line, found.mistake(("server", "port"), "is taken")])
    assert said(error, tmp_path) == [
        "comporta.yaml:3: routes.a.variants[0].model: there is no provider ***",
        "comporta.yaml:1: server.port: is taken",
    ]


# ---- secrets --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "admin: {x: 'PLANT'}",
        "admin: [PLANT]",
        "admni: PLANT",
        "keys: PLANT",
        "providers: {p: {type: PLANT}}",
        "providers: {p: {type: plain, api_key: PLANT, token: PLANT}}",
        "providers: {p: {type: plain, api_key: [PLANT]}}",
        "routes: {a: {capture: PLANT, variants: PLANT}}",
        "server: {port: PLANT, idle: PLANT, max_body: PLANT, debug: PLANT}",
        "limit: PLANT\nsample: PLANT\neither: PLANT",
        "admin: PLANT\nheaders: {leak: PLANT}",
        "headers: {leak: '${TOKEN}'}",
        "headers: {leak: 'Bearer ${TOKEN} ${TOKEN2}'}",
        "server: {port: '${TOKEN}'}\nroutes: {a: {capture: '${TOKEN}'}}",
        "version: ${PLANT",
        "admin: *PLANT",
        "admin: !PLANT x",
        "admin: !PLANT!x y",
        "admin: @PLANT",
        "admin: \"\\qPLANT\"",
        "admin: PLANT: x",
        "admin: [PLANT",
        "PLANT",
        "- PLANT",
    ],
)  # fmt: skip
def test_no_mistake_repeats_a_secret(tmp_path: Path, text: str) -> None:
    environment = {"TOKEN": SECRET, "TOKEN2": 'quote"' + SECRET + "\n"}
    path = write(tmp_path, text.replace("PLANT", SECRET))
    with pytest.raises(ConfigError) as caught:
        load(Settings, path, environment)
    assert SECRET not in caught.value.message
    assert caught.value.__context__ is None and caught.value.__cause__ is None


def test_what_was_loaded_has_no_repr_that_shows_secrets(tmp_path: Path) -> None:
    found = loaded(tmp_path, f"admin: {SECRET}\nkeys: ['${{K}}']", {"K": SECRET})
    assert SECRET not in f"{found!r} {found.tree!r} {found.value!r}"
