"""Secrets are found by their issuers' forms and by what a text calls them; samples, hashes and code are left alone."""

from __future__ import annotations

import random
import string
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from comporta.guardrails.looking import Text
from comporta.guardrails.secret.finding import SECRET_KINDS, Secrets
from comporta.guardrails.secret.patterns import FORMS

_ALL = string.ascii_letters + string.digits
_HEX = "0123456789abcdef"


def _some(rng: random.Random, count: int, letters: str = _ALL) -> str:
    return "".join(rng.choices(letters, k=count))


def made(seed: int) -> list[tuple[str, str, str]]:
    """Each issuer's form: text, kind, and the secret in it. None of them was ever issued."""
    rng = random.Random(seed)

    def w(count: int, letters: str = _ALL) -> str:
        return _some(rng, count, letters)

    body = "\n".join(w(64) for _ in range(5))
    values = [
        ("API_KEY", f"sk-proj-{w(48)}"), ("API_KEY", f"sk-{w(48)}"), ("API_KEY", f"sk-ant-api03-{w(93)}AA"),
        ("API_KEY", f"AIza{w(35)}"), ("API_KEY", f"AKIA{w(16, string.ascii_uppercase + string.digits)}"),
        ("TOKEN", f"ghp_{w(36)}"), ("TOKEN", f"github_pat_{w(22)}_{w(59)}"), ("TOKEN", f"glpat-{w(20)}"),
        ("TOKEN", f"xoxb-{w(12, string.digits)}-{w(24)}"), ("API_KEY", f"sk_live_{w(24)}"), ("TOKEN", f"hf_{w(34)}"),
        ("API_KEY", f"SK{w(32, _HEX)}"), ("API_KEY", f"SG.{w(22)}.{w(43)}"), ("TOKEN", f"npm_{w(36)}"),
        ("TOKEN", f"pypi-AgEIcHlwaS5vcmc{w(60)}"), ("TOKEN", f"{w(10, '123456789')}:AA{w(33)}"),
        ("TOKEN", f"M{w(23)}.{w(6)}.{w(27)}"), ("API_KEY", f"cmp-{w(43)}"), ("API_KEY", f"gsk_{w(52)}"),
        ("JWT", f"eyJhbGciOiJIUzI1NiJ9.eyJ{w(30)}.{w(43)}"), ("API_KEY", f"AccountKey={w(86)}=="),
        ("PRIVATE_KEY", f"-----BEGIN RSA PRIVATE KEY-----\n{body}\n-----END RSA PRIVATE KEY-----"),
        ("WEBHOOK", f"https://hooks.slack.com/services/T{w(8)}/B{w(8)}/{w(24)}"),
        ("CONNECTION_STRING", f"postgres://app:{w(12)}@db.internal:5432/prod"),
        ("CONNECTION_STRING", f"redis://:{w(12)}@cache:6379/0"),
    ]  # fmt: skip
    around = ("use {} here", "minha chave: {}", "el valor es {}", "{}")
    return [(around[at % 4].format(value), kind, value) for at, (kind, value) in enumerate(values)]


#: What a text itself calls a secret: the text, its kind, and the secret.
SAID = (
    ("password=Hunter2!", "PASSWORD", "Hunter2!"),
    ("senha: Batata@123", "PASSWORD", "Batata@123"),
    ("contraseña: Qwerty_2024", "PASSWORD", "Qwerty_2024"),
    ("minha senha é Gato1234", "PASSWORD", "Gato1234"),
    ("my password is correcthorse9", "PASSWORD", "correcthorse9"),
    ("mi contraseña es Perro*2020", "PASSWORD", "Perro*2020"),
    ('{"password": "S3gura!23"}', "PASSWORD", "S3gura!23"),
    ("DB_PASSWORD=xK9#mP2$vL", "PASSWORD", "xK9#mP2$vL"),
    ("user: bob pass: Winter2024!", "PASSWORD", "Winter2024!"),
    ("senha do wifi: casaverde2020", "PASSWORD", "casaverde2020"),
    ("password: letmein", "PASSWORD", "letmein"),
    ("a senha do banco é 482913", "PASSWORD", "482913"),
    ("aws_secret_access_key = wJalrXUtnFEMI7K7MDENGbPxRfiCYzzzz0zzzKEY", "API_KEY",
        "wJalrXUtnFEMI7K7MDENGbPxRfiCYzzzz0zzzKEY"),
    ("api_key: 0f3b9a7c2d4e6f8091a2b3c4d5e6f708", "API_KEY", "0f3b9a7c2d4e6f8091a2b3c4d5e6f708"),
    ('"apiKey": "Xk29dLq0Pz81mVb47TcR"', "API_KEY", "Xk29dLq0Pz81mVb47TcR"),
    ("AZURE_OPENAI_KEY=768d655087777b2f1d2c418ddef061c7", "API_KEY", "768d655087777b2f1d2c418ddef061c7"),
    ("chave de api: 8fK20dLq9Pz81mVb47TcR", "API_KEY", "8fK20dLq9Pz81mVb47TcR"),
    ("token: 9f8a7b6c5d4e3f2a1b0c", "TOKEN", "9f8a7b6c5d4e3f2a1b0c"),
    ("client_secret=8fK20dLq9Pz81mVb47TcR", "TOKEN", "8fK20dLq9Pz81mVb47TcR"),
    ("Authorization: Bearer 8fK20dLq9Pz81mVb47TcRaa01", "TOKEN", "8fK20dLq9Pz81mVb47TcRaa01"),
    ("a secret key for the app 8fK20dLq9Pz81mVb47TcRaa01Qw stays here", "SECRET", "8fK20dLq9Pz81mVb47TcRaa01Qw"),
)  # fmt: skip

HARMLESS = (
    "uuid 550e8400-e29b-41d4-a716-446655440000", "commit 9fceb02d0ae598e95dc970b74767f19372d61af8",
    "sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae",
        "md5sum 9e107d9d372bb6826bd81d3542a419d6",
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAUAAAAFCAYAAACNbyblAAAAHElEQVQI12P4z8DwHwAFAAH/q842",
    "the token limit is 4096", "max_tokens=2048", "token: str", "password: str = None", "password = getpass.getpass()",
    "api_key=os.environ['OPENAI_API_KEY']", "api_key: ${API_KEY}", "api_key: <your-api-key>", "api_key = YOUR_API_KEY",
    "password: ********", "password=xxxxxx", "postgres://user:password@localhost/db",
        "postgres://${USER}:${PASS}@host/db",
    "The password must be long", "forgot password?", "Password: Enter your password", "senha: obrigatória",
    "Esqueci a senha: como recupero?", "sk-learn is great", "the key is 42", "foreign_key=user_id", "secret: true",
    "a chave está na porta", "la clave es estudiar", "the secret is out", "token = tokenizer.encode(text)",
        "tokens: 1,234",
    "csrf_token: {{ csrf_token }}", "access_token: string (required)",
        "ThisIsAVeryLongCamelCaseIdentifierNameForAClass",
    "-----BEGIN CERTIFICATE-----", "-----BEGIN PUBLIC KEY-----", "What is a JWT token?", "Bearer of good news",
    "bearer authentication scheme", "token_count = 512", "The session token expired", "passed: 12 tests", "senha forte",
    "my password is not working", "password is incorrect", "a senha é a mesma", "a senha está errada",
        "token is invalid",
    "api key is missing", "secret=None", "PASSWORD_MIN_LENGTH=8", "tokenizer: cl100k_base",
        "model: gpt-4o-mini-2024-07-18",
    "redis://localhost:6379/0", "http://localhost:8080/@user",
        "https://example.com/a/very/long/path/with/many/segments",
)  # fmt: skip


@pytest.fixture(scope="module")
def finder() -> Secrets:
    return Secrets(SECRET_KINDS)


def found(finder: Secrets, text: str) -> list[tuple[str, str]]:
    return [(one.match.kind, text[one.match.start : one.match.end]) for one in finder.find(Text(text), 0.5)]


@pytest.mark.parametrize("seed", range(8))
def test_each_issuers_form_is_found_whole(finder: Secrets, seed: int) -> None:
    for text, kind, value in made(seed):
        assert (kind, value) in found(finder, text), text


@pytest.mark.parametrize(("text", "kind", "value"), SAID)
def test_what_a_text_calls_a_secret_is_one(finder: Secrets, text: str, kind: str, value: str) -> None:
    assert found(finder, text) == [(kind, value)]


@pytest.mark.parametrize("text", HARMLESS)
def test_samples_hashes_and_code_are_left_alone(finder: Secrets, text: str) -> None:
    assert not found(finder, text)


def test_forms_are_each_read_by_the_automaton(finder: Secrets) -> None:
    assert len({form.issuer for form in FORMS}) > 35
    assert not found(finder, "")


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(st.characters(), max_size=120))
def test_no_text_makes_it_raise(finder: Secrets, text: str) -> None:
    for one in finder.find(Text(text), 0.0):
        assert 0 <= one.match.start < one.match.end <= len(text)


@pytest.mark.parametrize(
    "row", ["a", "a-", "a_", "key_", "a://a:a", "password is ", "token=a ", "token = 'a", "eyJa.", "=", "a1B2"]
)
def test_no_pattern_goes_back_and_forth(finder: Secrets, row: str) -> None:
    def took_s(size: int) -> float:
        begun_s = time.process_time()
        finder.find(Text((row * size)[:size] + "!"), 0.5)
        return time.process_time() - begun_s

    took_s(200)
    # One look among many is not disturbed by what else this machine does.
    assert any(took_s(4_000) < 0.01 + 9 * took_s(1_000) for _ in range(20))
