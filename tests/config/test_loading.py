"""Loading: base file, overlay, `.env` and environment become one checked value."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from comporta.config.loading import Loaded, find, load
from comporta.errors import ConfigError
from support.settings import Cloud, Plain, Settings, said, write

SECRET = "sk-planted-0123456789"


def mistakes(folder: Path, text: str, environment: dict[str, str] | None = None) -> list[str]:
    path = write(folder, text)
    with pytest.raises(ConfigError) as caught:
        load(Settings, path, environment or {})
    return said(caught.value, folder)


def loaded(folder: Path, text: str, environment: dict[str, str] | None = None) -> Loaded[Settings]:
    return load(Settings, write(folder, text), environment or {})


# ---- what holds -----------------------------------------------------------------------------------------------------


def test_without_a_file_the_defaults_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = load(Settings, None, {})
    assert found.value == Settings()
    assert found.files == ()
    assert [path.name for path in found.watched] == [".env", "comporta.yaml"]


@pytest.mark.parametrize("text", ["", "# only a comment\n", "---\n", "\ufeff", "{}"])
def test_an_empty_file_means_the_defaults(tmp_path: Path, text: str) -> None:
    assert loaded(tmp_path, text).value == Settings()


def test_values_are_read_and_placed(tmp_path: Path) -> None:
    found = loaded(tmp_path, "server:\n  port: 9000\n  idle: 1m30s\nlimit: $0.01\n")
    assert (found.value.server.port, found.value.server.idle, found.value.limit) == (9000, 90.0, 10_000)
    assert found.place(("server", "idle")) == (str(tmp_path / "comporta.yaml"), 3)
    assert found.place(("server", "host")).line == 1
    assert found.origin(("server", "host")) is None
    assert found.folder == tmp_path


def test_words_that_older_yaml_takes_for_truth_values_stay_words(tmp_path: Path) -> None:
    found = loaded(tmp_path, "routes: {a: {capture: off, variants: [{model: no}]}}\nserver: {debug: yes}")
    assert found.value.routes["a"].capture == "off"
    assert found.value.routes["a"].variants[0].model == "no"
    assert found.value.server.debug is True


@pytest.mark.parametrize("written", ["1.10", "007", "true", "1e3", "'1.10'"])
def test_a_number_where_text_is_meant_stays_as_written(tmp_path: Path, written: str) -> None:
    assert loaded(tmp_path, f"version: {written}\n").value.version == written.strip("'")


def test_free_parameters_keep_their_types(tmp_path: Path) -> None:
    text = "routes: {a: {variants: [{model: m, params: {k: 5, f: 0.5, t: true, s: x, l: [1], n: null, h: 0x10}}]}}"
    params = loaded(tmp_path, text).value.routes["a"].variants[0].params
    assert params == {"k": 5, "f": 0.5, "t": True, "s": "x", "l": [1], "n": None, "h": 16}


def test_a_key_with_nothing_behind_it_is_an_empty_part(tmp_path: Path) -> None:
    found = loaded(tmp_path, "server:\nroutes:\nkeys:\n")
    assert found.value == Settings()


def test_anchors_aliases_and_merge_keys_work(tmp_path: Path) -> None:
    text = """
routes:
  a: &a
    capture: hashed
    variants: &v [{model: m}]
  b: {<<: *a, capture: full}
  c: {variants: *v}
"""
    routes = loaded(tmp_path, text).value.routes
    assert (routes["b"].capture, routes["b"].variants) == ("full", routes["a"].variants)
    assert routes["c"].variants == routes["a"].variants


def test_the_usual_file_is_found_or_the_one_that_is_named(tmp_path: Path) -> None:
    assert find({}, tmp_path) is None
    path = write(tmp_path, "", "comporta.yml")
    assert find({}, tmp_path) == path
    assert find({"COMPORTA_CONFIG": "/etc/other.yaml"}, tmp_path) == Path("/etc/other.yaml")


def test_parts_are_told_apart_by_their_type(tmp_path: Path) -> None:
    text = "providers: {p: {type: plain, api_key: 12345}, c: {type: cloud, region: eu}}"
    providers = loaded(tmp_path, text).value.providers
    assert providers == {
        "p": Plain(type="plain", api_key=SecretStr("12345")),
        "c": Cloud(type="cloud", region="eu"),
    }


# ---- overlays -------------------------------------------------------------------------------------------------------


def test_an_overlay_merges_mappings_and_replaces_lists_and_values(tmp_path: Path) -> None:
    write(
        tmp_path,
        "server: {port: 1, host: b}\neither: [3]\nroutes: {b: {variants: [{model: y}]}}",
        "comporta.production.yaml",
    )
    text = "server:\n  port: 9\n  debug: true\neither: [1, 2]\nroutes: {a: {variants: [{model: x}]}}\n"
    found = loaded(tmp_path, text, {"COMPORTA_ENV": "production"})
    assert (found.value.server.port, found.value.server.debug, found.value.server.host) == (1, True, "b")
    assert found.value.either == [3]
    assert sorted(found.value.routes) == ["a", "b"]
    assert [path.name for path in found.files] == ["comporta.yaml", "comporta.production.yaml"]
    assert Path(found.place(("server", "port")).file).name == "comporta.production.yaml"
    assert Path(found.place(("server", "debug")).file).name == "comporta.yaml"


def test_an_overlay_may_be_absent_and_is_watched_for(tmp_path: Path) -> None:
    found = loaded(tmp_path, "", {"COMPORTA_ENV": "later"})
    assert tmp_path / "comporta.later.yaml" in found.watched
    assert tmp_path / "comporta.later.yaml" not in found.files


def test_an_overlay_can_be_named_in_the_call_or_in_dot_env(tmp_path: Path) -> None:
    path = write(tmp_path, "")
    write(tmp_path, "even: 4", "comporta.a.yaml")
    write(tmp_path, "even: 6", "comporta.b.yaml")
    write(tmp_path, "COMPORTA_ENV=a", ".env")
    assert load(Settings, path, {}).value.even == 4
    assert load(Settings, path, {"COMPORTA_ENV": "b"}).value.even == 6
    assert load(Settings, path, {"COMPORTA_ENV": "b"}, name="a").value.even == 4


def test_a_bare_key_in_an_overlay_does_not_wipe_the_base(tmp_path: Path) -> None:
    write(tmp_path, "server:\n  # port: 1\n", "comporta.x.yaml")
    assert loaded(tmp_path, "server: {port: 9}", {"COMPORTA_ENV": "x"}).value.server.port == 9


def test_mistakes_name_the_file_they_are_in(tmp_path: Path) -> None:
    write(tmp_path, "\nserver:\n  prot: 1\n", "comporta.x.yaml")
    assert mistakes(tmp_path, "evne: 2\n", {"COMPORTA_ENV": "x"}) == [
        "comporta.yaml:1: evne: unknown key; did you mean 'even'?",
        "comporta.x.yaml:3: server.prot: unknown key; did you mean 'port'?",
    ]


@pytest.mark.parametrize("name", ["../x", "a b", "a/b", "ü", "x.y"])
def test_an_overlays_name_is_one_word(tmp_path: Path, name: str) -> None:
    [line] = mistakes(tmp_path, "", {"COMPORTA_ENV": name})
    assert line.startswith("COMPORTA_ENV: must be one word")


# ---- variables ------------------------------------------------------------------------------------------------------


def test_variables_are_put_in_and_take_the_type_that_is_wanted(tmp_path: Path) -> None:
    text = """
version: ${V}
server: {port: "${PORT}", debug: "${DEBUG:-true}", host: "${HOST:-0.0.0.0}", max_body: "${SIZE}"}
admin: ${ADMIN}
headers: {x: "a ${V} b $${V} $V"}
routes: {a: {variants: [{model: m, params: {k: "${PORT}"}}]}}
either: ${PORT}
"""
    found = loaded(tmp_path, text, {"V": "1.10", "PORT": "81", "SIZE": "1MB", "ADMIN": "0042"})
    value = found.value
    assert (value.version, value.either, value.headers["x"]) == ("1.10", 81, "a 1.10 b ${V} $V")
    assert (value.server.port, value.server.debug, value.server.host) == (81, True, "0.0.0.0")
    assert value.admin == SecretStr("0042")
    assert found.origin(("admin",)) == f"{tmp_path}/comporta.yaml:4 ${{ADMIN}}"


def test_a_variables_value_is_never_expanded_again(tmp_path: Path) -> None:
    assert loaded(tmp_path, "version: ${A}", {"A": "${B}", "B": "no"}).value.version == "${B}"


def test_an_empty_variable_takes_the_default_or_means_nothing(tmp_path: Path) -> None:
    found = loaded(tmp_path, "admin: ${A}\nversion: ${A:-x}\nlimit: ${B:-}", {"A": ""})
    assert (found.value.admin, found.value.version, found.value.limit) == (None, "x", None)


def test_secrets_are_told_from_variables_that_are_ordinary_words(tmp_path: Path) -> None:
    text = """
admin: ${ADMIN}
headers:
  Authorization: Bearer ${UPSTREAM}
  plain: ${MODEL}
  region: ${REGION_TOKEN}
  url: postgresql://user:${WORD}@${HOST}/db
"""
    environment = {
        "ADMIN": "admin-1234", "UPSTREAM": "upstream-1234", "MODEL": "provider/model", "REGION_TOKEN": "region-1234",
        "WORD": "word-1234", "HOST": "database.example",
    }  # fmt: skip
    found = loaded(tmp_path, text, environment)
    assert {"admin-1234", "upstream-1234", "region-1234", "word-1234"} <= found.secrets
    assert not {"provider/model", "database.example"} & found.secrets
    assert set(environment.values()) <= found.hidden


def test_dot_env_gives_variables_and_the_environment_wins(tmp_path: Path) -> None:
    write(tmp_path, "A=1\nB=2\n", ".env")
    found = loaded(tmp_path, "headers: {a: '${A}', b: '${B}'}", {"B": "3"})
    assert found.value.headers == {"a": "1", "b": "3"}
    assert found.environment["A"] == "1"
    assert tmp_path / ".env" in found.files


def test_a_folder_named_dot_env_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / ".env").mkdir()
    assert loaded(tmp_path, "").value == Settings()


def test_a_missing_variable_is_one_mistake_with_its_place(tmp_path: Path) -> None:
    assert mistakes(tmp_path, "server:\n  port: ${PORT}\neven: ${E}\n") == [
        "comporta.yaml:2: server.port: the variable PORT is not set; set it, or give a default: ${PORT:-…}",
        "comporta.yaml:3: even: the variable E is not set; set it, or give a default: ${E:-…}",
    ]


@pytest.mark.parametrize("written", ["${", "${1X}", "${A-b}", "${A:?b}", "${}", "${A", "${A:-${B}}"])
def test_a_malformed_variable_is_a_mistake(tmp_path: Path, written: str) -> None:
    lines = mistakes(tmp_path, f"\nversion: '{written}'\n", {"A": "a", "B": "b"})
    assert lines[0].startswith("comporta.yaml:2: version: has a ${ that begins no variable; the forms are ${NAME}")


def test_a_bad_dot_env_is_told_with_its_line_and_without_its_content(tmp_path: Path) -> None:
    write(tmp_path, f"A=1\n{SECRET}\n", ".env")
    assert mistakes(tmp_path, "") == [".env:2: is not NAME=value, a comment or an empty line"]


def test_an_environment_that_is_nearly_the_name_of_an_overlay_is_told(tmp_path: Path) -> None:
    base = tmp_path / "comporta.yaml"
    base.write_text("{}")
    (tmp_path / "comporta.production.yaml").write_text("{}")
    with pytest.raises(ConfigError, match="did you mean 'production'"):
        load(Settings, base, {"COMPORTA_ENV": "prodction"})
    assert load(Settings, base, {"COMPORTA_ENV": "development"}).files == (base,)
