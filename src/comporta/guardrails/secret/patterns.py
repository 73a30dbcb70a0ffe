"""What keys and other secrets look like, as their issuers publish it."""

from __future__ import annotations

from msgspec import Struct


class Form(Struct, frozen=True):
    """One issuer's form of a secret, in RE2's words. `open`: it may be cut off by the text's end and still counts."""

    issuer: str
    kind: str
    pattern: str
    confidence: float = 0.97


_W = r"[A-Za-z0-9_-]"
_BEGIN = r"-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----"
#: Of a key in its armour: base64, line ends (also as JSON writes them), and the headers of some.
_BODY = r"[A-Za-z0-9+/=\s\\:,.()-]"
FORMS: tuple[Form, ...] = (
    Form("private key", "PRIVATE_KEY",
         rf"{_BEGIN}{_BODY}*?(?:-----END[A-Z0-9 ]{{0,40}}(?:-----)?|\z)|{_BEGIN}\s*{_BODY}{{40,}}"),
    Form("jwt", "JWT", rf"eyJ{_W}{{8,}}\.eyJ{_W}{{8,}}(?:\.{_W}*)?"),
    Form("anthropic", "API_KEY", rf"sk-ant-{_W}{{16,}}"),
    Form("openrouter", "API_KEY", r"sk-or-(?:v1-)?[A-Za-z0-9]{20,}"),
    Form("openai", "API_KEY", r"sk-(?:proj-|svcacct-|admin-|None-)?[A-Za-z0-9][A-Za-z0-9_-]{18,}[A-Za-z0-9_]"),
    Form("comporta", "API_KEY", rf"cmp-{_W}{{43}}"),
    Form("google", "API_KEY", rf"AIza{_W}{{35}}"),
    Form("google oauth", "TOKEN", rf"ya29\.{_W}{{20,}}|GOCSPX-{_W}{{20,}}|1//0{_W}{{30,}}"),
    Form("aws", "API_KEY", r"(?:AKIA|ASIA|ABIA|ACCA|AROA|AIDA)[A-Z0-9]{16}"),
    Form("github", "TOKEN", r"gh[pousr]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{22,}"),
    Form("gitlab", "TOKEN", rf"gl(?:pat|dt|rt|cbt|ptt|ft|soat|oas|imt)-{_W}{{20,}}"),
    Form("slack", "TOKEN", r"xox[abeoprs]-[A-Za-z0-9-]{10,}|xapp-[0-9]-[A-Za-z0-9-]{10,}"),
    Form("slack webhook", "WEBHOOK", r"https://hooks\.slack\.com/(?:services|workflows)/[A-Za-z0-9/]{20,}"),
    Form("discord webhook", "WEBHOOK", rf"https://(?:\w{{2,8}}\.)?discord(?:app)?\.com/api/webhooks/[0-9]{{15,20}}/{_W}{{30,}}"),
    Form("stripe", "API_KEY", r"(?:sk|rk|pk)_(?:live|test)_[A-Za-z0-9]{16,}|whsec_[A-Za-z0-9+/]{24,}=*"),
    Form("hugging face", "TOKEN", r"(?:hf|api_org)_[A-Za-z]{20,}[A-Za-z0-9]*|hf_[A-Za-z0-9]{30,}"),
    Form("azure", "API_KEY", r"(?:AccountKey|SharedAccessKey)=[A-Za-z0-9+/]{30,}={0,2}"),
    Form("azure sas", "TOKEN", r"[?&]sig=[A-Za-z0-9%+/]{30,}={0,2}"),
    Form("twilio", "API_KEY", r"(?:SK|AC)[0-9a-f]{32}"),
    Form("sendgrid", "API_KEY", rf"SG\.{_W}{{16,32}}\.{_W}{{16,64}}"),
    Form("mailgun", "API_KEY", r"key-[0-9a-f]{32}"),
    Form("npm", "TOKEN", r"npm_[A-Za-z0-9]{36}"),
    Form("pypi", "TOKEN", rf"pypi-{_W}{{40,}}"),
    Form("telegram", "TOKEN", rf"[0-9]{{8,10}}:{_W}{{35}}"),
    Form("discord", "TOKEN", rf"[MNO][A-Za-z0-9_-]{{22,27}}\.{_W}{{6}}\.{_W}{{27,40}}"),
    Form("groq", "API_KEY", r"gsk_[A-Za-z0-9]{40,}"),
    Form("xai", "API_KEY", r"xai-[A-Za-z0-9]{60,}"),
    Form("replicate", "TOKEN", r"r8_[A-Za-z0-9]{30,}"),
    Form("perplexity", "API_KEY", r"pplx-[A-Za-z0-9]{40,}"),
    Form("digitalocean", "TOKEN", r"do[opr]_v1_[0-9a-f]{64}"),
    Form("shopify", "TOKEN", r"shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}"),
    Form("databricks", "TOKEN", r"dapi[0-9a-f]{32}(?:-[0-9])?"),
    Form("vault", "TOKEN", rf"hv[sbr]\.{_W}{{24,}}"),
    Form("linear", "API_KEY", r"lin_api_[A-Za-z0-9]{32,}"),
    Form("notion", "TOKEN", r"ntn_[A-Za-z0-9]{40,}"),
    Form("postman", "API_KEY", r"PMAK-[0-9a-f]{24}-[0-9a-f]{34}"),
    Form("atlassian", "TOKEN", r"ATATT3[A-Za-z0-9_=-]{40,}"),
    Form("square", "TOKEN", rf"sq0(?:atp|csp)-{_W}{{22,}}|EAAA{_W}{{60}}"),
    Form("docker", "TOKEN", rf"dckr_pat_{_W}{{20,}}"),
    Form("mercado pago", "TOKEN", r"(?:APP_USR|TEST)-[0-9]{12,}-[0-9]{6}-[0-9a-f]{32}-[0-9]+"),
    Form("asaas", "API_KEY", r"\$aact_[A-Za-z0-9+/=:_-]{30,}"),
    Form("age", "PRIVATE_KEY", r"AGE-SECRET-KEY-1[0-9A-Z]{58}"),
)  # fmt: skip

#: `scheme://user:password@host`: the two that decide whether it is a secret are the password and what stands for one.
CONNECTION = r"[A-Za-z][A-Za-z0-9+.-]{1,20}://[^\s:/@\"'<>]{0,80}:[^\s@/\"'<>]{1,120}@[^\s\"'<>]{1,300}"
